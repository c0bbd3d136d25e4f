// Package observability holds the tests of what people and programs see of a
// running sidecar, against the real thing on the other side: an OpenTelemetry
// Collector, a Prometheus, a browser and a terminal. It is a module of its own,
// so that what it needs is not needed by the sidecar.
package observability
