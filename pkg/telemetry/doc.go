// Package telemetry turns what the other packages count into what people and
// machines read.
//
// A [Registry] holds a [Recorder] for each listener. Sessions report to it what
// passes, and nothing else happens until somebody asks: then a [Snapshot] is
// taken, and the statistics document ([Snapshot.Stats]), the metrics for
// Prometheus ([NewHandler]), the status and the checkpoint are all made from
// that.
//
//	registry := telemetry.NewRegistry(telemetry.Options{Now: clock})
//	session.Observer = registry.Listener("default").Observer()
//	...
//	line, err := registry.Snapshot().Stats().MarshalLine()
//
// [NewLogger] makes the log, and [Limited] keeps storms of errors out of it.
//
// The package starts no goroutines and opens no files or connections. It knows
// neither the configuration nor the checkpoint's format: whoever builds the
// process adds what a Snapshot says of those.
//
// docs/metrics.md lists all metrics and all fields of the statistics. It is
// generated from this package: run "go generate ./pkg/telemetry".
package telemetry
