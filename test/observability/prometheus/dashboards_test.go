//go:build unix

package prometheus

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// dashboard is the part of a dashboard's JSON that the tests look at.
type dashboard struct {
	Templating struct {
		List []struct{ Name, Type, Query, Regex string }
	}
	Panels []panel
}

type panel struct {
	Type, Title string
	Targets     []target
}

type target struct {
	Expr, LegendFormat string
	Instant, Exemplar  bool
}

// readDashboard reads a dashboard as it is shipped.
func readDashboard(t *testing.T, name string) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "charts", "foo-sidecar", "dashboards", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// panel returns the panel with a title.
func (d dashboard) panel(t *testing.T, title string) panel {
	t.Helper()
	for _, p := range d.Panels {
		if p.Title == title {
			return p
		}
	}
	t.Fatalf("there is no panel %q", title)
	return panel{}
}

// choices are the values of the variables of a dashboard.
type choices map[string]string

// everything is what a dashboard shows at first.
var everything = choices{"namespace": ".*", "workload": ".*", "pod": ".*", "listener": ".*"}

// with returns the choices with others.
func (c choices) with(others choices) choices {
	all := maps.Clone(c)
	maps.Copy(all, others)
	return all
}

// fill replaces the variables in an expression, as Grafana does.
func (c choices) fill(t *testing.T, expr, window string) string {
	t.Helper()
	pairs := []string{"$__rate_interval", window, "$__range", window}
	for name, value := range c {
		pairs = append(pairs, "$"+name, value)
	}
	filled := strings.NewReplacer(pairs...).Replace(expr)
	if left := regexp.MustCompile(`\$[a-zA-Z_{]\w*`).FindString(filled); left != "" {
		t.Errorf("there is no variable %s for %s", left, expr)
	}
	return filled
}

// labelsOf finds the labels in the name of a series.
var labelsOf = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// checkPanel asks for all that a panel shows, during a time.
func (p *prometheus) checkPanel(t *testing.T, shown panel, c choices, from, to time.Time) {
	t.Helper()
	for _, target := range shown.Targets {
		expr := c.fill(t, target.Expr, "5s")
		result := p.queryRange(expr, from, to)
		if target.Instant {
			result = p.query(expr, to)
		}
		if len(result) == 0 {
			t.Errorf("no data for\n%s", expr)
			continue
		}
		if shown.Type == "stat" && len(result) != 1 {
			t.Errorf("%d series for one number:\n%s", len(result), expr)
		}
		finite := false
		for _, s := range result {
			for _, label := range labelsOf.FindAllStringSubmatch(target.LegendFormat, -1) {
				if s.Metric[label[1]] == "" {
					t.Errorf("the series %s has no label %s for its name %q:\n%s", s.name(), label[1], target.LegendFormat, expr)
				}
			}
			if target.LegendFormat == "" && !target.Instant && len(result) > 1 {
				t.Errorf("several series without a name:\n%s", expr)
			}
			values := s.Values
			if s.Value != nil {
				values = append(values, *s.Value)
			}
			if len(s.Histograms) > 0 || s.Histogram != nil {
				t.Errorf("a histogram where there should be numbers:\n%s", expr)
			}
			for _, v := range values {
				finite = finite || !math.IsNaN(v.value) && !math.IsInf(v.value, 0)
				if v.value < -1e-9 {
					t.Errorf("the negative value %v:\n%s", v.value, expr)
				}
			}
		}
		if !finite {
			t.Errorf("no number for\n%s", expr)
		}
	}
}

// shown returns the value that a panel shows of one series at a time. The labels
// are some of the series'.
func (p *prometheus) shown(t *testing.T, d dashboard, title string, c choices, window string, moment time.Time, labels map[string]string) float64 {
	t.Helper()
	for _, target := range d.panel(t, title).Targets {
		for _, s := range p.query(c.fill(t, target.Expr, window), moment) {
			matches := true
			for name, value := range labels {
				matches = matches && s.Metric[name] == value
			}
			if matches && s.Value != nil {
				return s.Value.value
			}
		}
	}
	t.Errorf("the panel %q has no series with %v", title, labels)
	return math.NaN()
}

// values returns what a variable of a dashboard offers.
func (p *prometheus) values(t *testing.T, d dashboard, name string, c choices) []string {
	t.Helper()
	for _, v := range d.Templating.List {
		if v.Name != name {
			continue
		}
		query := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Query)
		if query == nil {
			t.Fatalf("the variable %s has the query %q", name, v.Query)
		}
		found := p.labels(query[2], c.fill(t, query[1], ""))
		if v.Regex == "" {
			return found
		}
		// Grafana shows the first group.
		pattern := regexp.MustCompile(strings.Trim(v.Regex, "/"))
		for i, value := range found {
			if groups := pattern.FindStringSubmatch(value); groups != nil {
				found[i] = groups[1]
			}
		}
		return slices.Compact(slices.Sorted(slices.Values(found)))
	}
	t.Fatalf("there is no variable %s", name)
	return nil
}
