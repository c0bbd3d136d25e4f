// Package telemetry turns what the other packages count into what people and
// machines read.
//
// A [Registry] holds a [Recorder] for each listener. Sessions report to it what
// passes, and nothing else happens until somebody asks: then a [Snapshot] is
// taken, and the statistics document ([Snapshot.Stats]), the metrics
// ([NewGatherer]), the status and the checkpoint are all made from that. A
// [History] takes one each second, for charts of the last minutes and for the
// rolling percentile above which a pair counts as slow.
//
//	registry := telemetry.NewRegistry(telemetry.Options{Now: clock})
//	session.Observer = registry.Listener("default").Observer()
//	...
//	line, err := registry.Snapshot().Stats().MarshalLine()
//
// [NewLogger] makes the log, and [Limited] keeps storms of errors out of it.
//
// The package opens no files or connections, and starts no goroutine but that of
// an [Outlet]. Which pairs become traces is the business of its subpackages; here
// are only their numbers and the [Exemplars]. It knows neither the configuration
// nor the checkpoint's format: whoever builds the process adds what a Snapshot
// says of those.
//
// docs/metrics.md lists all metrics and all fields of the statistics. It is
// generated from this package: run "go generate ./pkg/telemetry".
package telemetry
