// Package dashboards makes the Grafana dashboards and the Prometheus rules in
// charts/foo-sidecar. The names, labels and meaning of what they use are checked
// against the metrics that package telemetry defines, so that they can't drift:
//
//	go generate ./internal/dashboards
//
// Nothing of it is needed when the sidecar runs. That the expressions give
// the right numbers is tested with a Prometheus, in test/observability/prometheus.
package dashboards

//go:generate go test -run ^TestGeneratedFiles -update .
