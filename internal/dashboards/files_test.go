package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/foo-protocol/foo-sidecar/internal/golden"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

const (
	chart    = "../../charts/foo-sidecar/"
	runbooks = "../../docs/runbooks/"
	remedy   = "run go generate ./internal/dashboards"
)

var all = map[string]Dashboard{"overview": Overview(), "pod": Pod()}

// TestGeneratedFiles holds the dashboards and rules to the code. With -update it
// writes them.
func TestGeneratedFiles(t *testing.T) {
	for name, d := range all {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(d); err != nil {
			t.Fatal(err)
		}
		golden.Compare(t, chart+"dashboards/"+name+".json", b.String(), remedy)
	}
	for name, file := range map[string]RuleFile{"recording": Recording(), "alerts": Alerts()} {
		text, err := file.marshal("# Generated from internal/dashboards by \"go generate ./internal/dashboards\". Do not edit.\n")
		if err != nil {
			t.Fatal(err)
		}
		golden.Compare(t, chart+"rules/"+name+".yaml", text, remedy)
	}
}

// metricNames finds the names of our metrics, and rules found by level:metric:operations.
var (
	metricNames = regexp.MustCompile(`[a-z_:]*\bfoo_sidecar_[a-z0-9_:]*|[a-z_]+:foo_sidecar_[a-z0-9_:]+`)
	selectors   = regexp.MustCompile(`(foo_sidecar_[a-z0-9_]+)\{((?:[^"}]|"[^"]*")*)\}`)
	matchers    = regexp.MustCompile(`([a-zA-Z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	groupings   = regexp.MustCompile(`\b(?:by|on|ignoring)\s*\(([^)]*)\)`)
)

// definition returns the metric that a series belongs to.
func definition(series string) (m telemetry.MetricInfo, ok bool) {
	for _, m := range telemetry.Metrics() {
		if series == m.Name {
			return m, true
		}
		if suffix, ours := strings.CutPrefix(series, m.Name); ours && m.Type == "histogram" &&
			slices.Contains([]string{"_bucket", "_count", "_sum"}, suffix) {
			return m, true
		}
	}
	return m, false
}

// recorded are the names of all recording rules.
func recorded() (names []string) {
	for _, g := range Recording().Groups {
		for _, r := range g.Rules {
			names = append(names, r.Record)
		}
	}
	return names
}

// unknown returns the names in a text that are of no metric and no rule.
func unknown(text string) (names []string) {
	for _, name := range metricNames.FindAllString(text, -1) {
		if name == "foo_sidecar_" { // stands for all of them
			continue
		}
		_, ok := definition(name)
		if !ok && !slices.Contains(recorded(), name) {
			names = append(names, name)
		}
	}
	return names
}

// Labels that come with the scrape, and from byWorkload.
var targetLabels = []string{"namespace", "pod", "job", "instance", "workload"}

// wrongLabels returns the matchers of labels that the metric does not have, and
// the labels that no metric in the expression has.
func wrongLabels(expr string) (wrong []string) {
	known := slices.Concat(targetLabels, []string{"le"})
	for _, name := range metricNames.FindAllString(expr, -1) {
		m, _ := definition(name)
		known = append(known, m.Labels...)
	}
	for _, s := range selectors.FindAllStringSubmatch(expr, -1) {
		m, _ := definition(s[1])
		for _, matcher := range matchers.FindAllStringSubmatch(s[2], -1) {
			label := matcher[1]
			if label == "le" && strings.HasSuffix(s[1], "_bucket") {
				continue
			}
			if !slices.Contains(targetLabels, label) && !slices.Contains(m.Labels, label) {
				wrong = append(wrong, s[1]+"{"+label+"}")
			}
		}
	}
	for _, list := range groupings.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(list[1], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(known, label) && label != "reason" {
				wrong = append(wrong, label)
			}
		}
	}
	return wrong
}

func TestNamesAndLabelsAreThoseOfTheMetrics(t *testing.T) {
	check := func(t *testing.T, expr string) {
		t.Helper()
		if names := unknown(expr); len(names) > 0 {
			t.Errorf("there is no metric %q in\n%s", names, expr)
		}
		if labels := wrongLabels(expr); len(labels) > 0 {
			t.Errorf("the metrics do not have %q in\n%s", labels, expr)
		}
	}
	for name, d := range all {
		for _, p := range d.Panels {
			t.Run(name+"/"+p.Title, func(t *testing.T) {
				for _, target := range p.Targets {
					check(t, target.Expr)
				}
			})
		}
		for _, v := range d.Templating.List {
			check(t, v.Query)
		}
	}
	for _, file := range []RuleFile{Recording(), Alerts()} {
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				t.Run(r.Record+r.Alert, func(t *testing.T) { check(t, r.Expr) })
			}
		}
	}
}

// The checker is checked, because one that finds nothing looks like a dashboard
// without mistakes.
func TestTheCheckerFindsWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		`rate(foo_sidecar_message_total[5m])`:                                                "[foo_sidecar_message_total] []",
		`foo_sidecar_in_flight_requests_bucket`:                                              "[foo_sidecar_in_flight_requests_bucket] []",
		`namespace_workload:foo_sidecar_refused:rate7m`:                                      "[namespace_workload:foo_sidecar_refused:rate7m] []",
		`foo_sidecar_build_info{listener="a{}"}`:                                             "[] [foo_sidecar_build_info{listener}]",
		`sum by (pod, side) (foo_sidecar_connections{listener="x"})`:                         "[] [side]",
		`sum by (le) (foo_sidecar_request_duration_seconds_bucket{le="0.25",pod=~"(a){2}"})`: "[] []",
	} {
		if got := fmt.Sprint(unknown(text), wrongLabels(text)); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestPagesNameOnlyMetricsThatExist(t *testing.T) {
	pages, err := filepath.Glob(runbooks + "*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../docs/operations.md", "../../README.md", chart+"dashboards/README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		if names := unknown(string(text)); len(names) > 0 {
			t.Errorf("%s: there is no metric %q", page, names)
		}
	}
}

func TestEveryMetricIsOnADashboard(t *testing.T) {
	for _, m := range telemetry.Metrics() {
		shown := false
		for _, d := range all {
			for _, p := range d.Panels {
				for _, target := range p.Targets {
					shown = shown || slices.ContainsFunc(metricNames.FindAllString(target.Expr, -1), func(name string) bool {
						found, _ := definition(name)
						return found.Name == m.Name
					})
				}
			}
		}
		if !shown {
			t.Errorf("%s is on no dashboard", m.Name)
		}
	}
}

func TestPanelsExplainThemselves(t *testing.T) {
	for name, d := range all {
		ids := map[int]bool{}
		titles := map[string]bool{}
		for _, p := range d.Panels {
			if ids[p.ID] || titles[p.Title] {
				t.Errorf("%s: panel %d %q is there twice", name, p.ID, p.Title)
			}
			ids[p.ID], titles[p.Title] = true, true
			if p.GridPos.X+p.GridPos.W > width {
				t.Errorf("%s: panel %q is wider than the page", name, p.Title)
			}
			if p.Type == "row" {
				continue
			}
			if len(p.Description) < 20 || !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: panel %q needs a description, got %q", name, p.Title, p.Description)
			}
			if p.FieldConfig.Defaults.Unit == "" {
				t.Errorf("%s: panel %q has no unit", name, p.Title)
			}
			if p.Datasource.UID != "${datasource}" {
				t.Errorf("%s: panel %q has the data source %q", name, p.Title, p.Datasource.UID)
			}
			// Grafana keeps exemplars with what is shown over time.
			latency := strings.Contains(p.Targets[0].Expr, duration)
			if over := p.Type == "timeseries" || p.Type == "heatmap"; latency && over && !p.Targets[0].Exemplar && !strings.Contains(p.Title, "pods") {
				t.Errorf("%s: panel %q shows durations without exemplars", name, p.Title)
			}
		}
	}
}

func TestUnitsFitTheMetrics(t *testing.T) {
	for name, d := range all {
		for _, p := range d.Panels {
			if p.Type == "row" || p.Type == "table" {
				continue
			}
			unit := p.FieldConfig.Defaults.Unit
			for _, target := range p.Targets {
				series := metricNames.FindString(target.Expr)
				m, ok := definition(series)
				if !ok || strings.Contains(target.Expr, "and on (job, instance)") {
					continue // of Go or of the process
				}
				if want := units(m, target.Expr); !slices.Contains(want, unit) {
					t.Errorf("%s: panel %q shows %s (%s) in %q, want one of %q", name, p.Title, m.Name, m.Unit, unit, want)
				}
			}
		}
	}
}

// units are the units of Grafana in which an expression that begins with a
// metric can be shown.
func units(m telemetry.MetricInfo, expr string) []string {
	divided := strings.Contains(expr, ") / (")
	switch rated := strings.Contains(expr, "rate("); {
	case divided || m.Unit == "ratio":
		return []string{"percentunit"}
	case m.Unit == "seconds" || m.Unit == "timestamp":
		return []string{"s"}
	case m.Unit == "bytes" && rated:
		return []string{"Bps"}
	case m.Unit == "bytes":
		return []string{"bytes"}
	case rated || strings.HasSuffix(m.Unit, "/s"):
		return []string{"reqps", "ops"}
	default:
		return []string{"short"}
	}
}

func TestEveryAlertHasARunbook(t *testing.T) {
	index, err := os.ReadFile(runbooks + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"README"}
	for _, g := range Alerts().Groups {
		for _, r := range g.Rules {
			names = append(names, r.Alert)
			page, err := os.ReadFile(runbooks + r.Alert + ".md")
			if err != nil {
				t.Errorf("%s: %v", r.Alert, err)
				continue
			}
			for _, part := range []string{"# " + r.Alert + "\n", "## Meaning\n", "## What clients notice\n", "## How to look\n", "## What to do\n"} {
				if !strings.Contains(string(page), part) {
					t.Errorf("%s.md lacks %q", r.Alert, strings.TrimSpace(part))
				}
			}
			if !strings.Contains(string(index), "("+r.Alert+".md)") {
				t.Errorf("README.md of the runbooks does not list %s", r.Alert)
			}
			if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) ||
				r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s needs a severity, a summary and a description", r.Alert)
			}
			if url := r.Annotations["runbook_url"]; url != RunbookURL+r.Alert+".md" {
				t.Errorf("%s leads to the runbook %s", r.Alert, url)
			}
		}
	}
	pages, _ := filepath.Glob(runbooks + "*.md")
	for _, page := range pages {
		if name := strings.TrimSuffix(filepath.Base(page), ".md"); !slices.Contains(names, name) {
			t.Errorf("%s is the runbook of no alert", page)
		}
	}
}

func TestTheBoundOfSlowIsABucket(t *testing.T) {
	if !slices.Contains(telemetry.Bounds(), slowBound) {
		t.Errorf("%s s is no bound of a bucket: %v", strconv.FormatFloat(slowBound, 'g', -1, 64), telemetry.Bounds())
	}
}

func TestWorkloadsFromNamesOfPods(t *testing.T) {
	pattern := regexp.MustCompile("^(?:" + podName + ")$") // as Prometheus anchors it
	for pod, want := range map[string]string{
		"web-7d9f8c6b5d-x2x4z":        "web",
		"web-api-7d9f8c6b5d-x2x4z":    "web-api",
		"db-0":                        "db",
		"shard-2-10":                  "shard-2",
		"agent-x2x4z":                 "agent",
		"report-28561440-x2x4z":       "report",
		"alone":                       "alone",
		"web-backend-6c4f9d7b8-zzzzz": "web-backend",
		"":                            "",
	} {
		if got := pattern.ReplaceAllString(pod, "$1"); got != want {
			t.Errorf("pod %q: got workload %q, want %q", pod, got, want)
		}
	}
	if regexp.MustCompile("^(?:web" + podSuffix + ")$").MatchString("web-api-7d9f8c6b5d-x2x4z") {
		t.Error("the pods of web-api are taken for those of web")
	}
}
