package dashboards

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// RuleFile is a file of rules for Prometheus.
type RuleFile struct {
	Groups []Group `yaml:"groups"`
}

// Group is a group of rules, which are evaluated one after the other.
type Group struct {
	Name  string `yaml:"name"`
	Rules []Rule `yaml:"rules"`
}

// Rule is a recording rule or an alert.
type Rule struct {
	Record      string            `yaml:"record,omitempty"`
	Alert       string            `yaml:"alert,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

// marshal returns the file as YAML, with comments at its beginning.
func (f RuleFile) marshal(comments string) (string, error) {
	var b bytes.Buffer
	b.WriteString(comments)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(f); err != nil {
		return "", fmt.Errorf("encode rules: %w", err)
	}
	return b.String(), nil
}

// RunbookURL is where the runbooks are, one page for each alert.
const RunbookURL = "https://github.com/foo-protocol/foo-sidecar/blob/main/docs/runbooks/"

// The objectives, and what counts against them. docs/runbooks explains them.
const (
	// Of a hundred thousand requests a hundred may be refused.
	refusedBudget = 0.001
	// Of a hundred answers one may take longer than slowBound. The bound must be
	// one of the classic buckets.
	slowBudget = 0.01
	slowBound  = 0.25
)

// The windows of the burn rates.
var burnWindows = []string{"5m", "30m", "1h", "6h"}

// Recording returns the recording rules.
func Recording() RuleFile {
	slo := Group{Name: "foo-sidecar-slo"}
	for _, w := range burnWindows {
		byPod := func(expr string) string { return "sum by (namespace, pod) (" + expr + ")" }
		slow := byPod(fmt.Sprintf("(histogram_count(rate(%[1]s[%[2]s])) > 0) * (1 - histogram_fraction(0, %[3]g, rate(%[1]s[%[2]s])))",
			duration, w, slowBound)) + "\n  or\n  " +
			byPod(fmt.Sprintf(`rate(%[1]s_count[%[2]s]) - ignoring (le) rate(%[1]s_bucket{le="%[3]g"}[%[2]s])`, duration, w, slowBound))
		for _, record := range []struct{ name, expr string }{
			{"ended", ended(byPod, "", w)},
			{"refused", refused(byPod, "", w)},
			{"answered", byPod(selectRate(endedUpstream, "", "", w))},
			{"slow", slow},
		} {
			expr := strings.ReplaceAll(record.expr, " + sum", "\n  + sum")
			slo.Rules = append(slo.Rules, Rule{
				Record: "namespace_workload:foo_sidecar_" + record.name + ":rate" + w,
				Expr:   "sum by (namespace, workload) (" + byWorkload("\n  "+expr+"\n") + ")",
			})
		}
	}
	return RuleFile{Groups: []Group{slo, windowRules()}}
}

// windowRules compare the sidecar's own windows with the counter. The mean of
// a moving window over a time is the mean rate over nearly the same time.
func windowRules() Group {
	const by = "sum by (namespace, pod, listener) "
	window := by + `(avg_over_time(foo_sidecar_request_rate{window="10s"}[5m]))`
	counted := by + "(\n  rate(foo_sidecar_messages_total{type=\"req\"}[5m])\n)\n- " + by +
		"(\n  rate(foo_sidecar_unexpected_messages_total{side=\"upstream\"}[5m])\n)"
	return Group{Name: "foo-sidecar-windows", Rules: []Rule{
		{Record: "namespace_pod_listener:foo_sidecar_request_rate:avg5m", Expr: window},
		{Record: "namespace_pod_listener:foo_sidecar_requests:rate5m", Expr: counted},
		{
			Record: "namespace_pod_listener:foo_sidecar_request_rate:deviation5m",
			Expr: "namespace_pod_listener:foo_sidecar_request_rate:avg5m\n" +
				"/ (namespace_pod_listener:foo_sidecar_requests:rate5m > 0)\n- 1",
		},
	}}
}
