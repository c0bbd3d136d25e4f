// Package collector holds tests of spans and metrics on their way to an
// OpenTelemetry Collector: real sidecars under load send to its OTLP receiver,
// over gRPC and over HTTP, also to one that is slow, absent, restarted or refuses
// what it is sent.
package collector
