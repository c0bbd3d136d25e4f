//go:build unix

package prometheus

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// ruleFiles are the files with the rules.
func ruleFiles(t *testing.T) (files []string) {
	t.Helper()
	for _, name := range []string{"recording.yaml", "alerts.yaml"} {
		file, err := filepath.Abs(filepath.Join(root, "charts", "foo-sidecar", "rules", name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// rule is a recording rule or an alert.
type rule struct{ Record, Alert, Expr string }

// rules reads all rules.
func rules(t *testing.T) (found []rule) {
	t.Helper()
	for _, name := range ruleFiles(t) {
		var file struct {
			Groups []struct{ Rules []rule }
		}
		read(t, name, &file)
		for _, g := range file.Groups {
			found = append(found, g.Rules...)
		}
	}
	return found
}

// read reads a YAML file.
func read(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

const alertTests = "testdata/alerts_test.yaml"

func promtool(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), debian(t, "promtool"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRulesAreValid(t *testing.T) {
	promtool(t, append([]string{"check", "rules"}, ruleFiles(t)...)...)
}

func TestAlertsFireAndClear(t *testing.T) {
	promtool(t, "test", "rules", alertTests)
}

// TestEveryAlertIsMadeToFireAndToClear guards the tests above: an alert that
// nobody tests looks like one that works.
func TestEveryAlertIsMadeToFireAndToClear(t *testing.T) {
	var file struct {
		Tests []struct {
			Alerts []struct {
				Time time.Duration `yaml:"eval_time"`
				Name string        `yaml:"alertname"`
				Want []any         `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	read(t, alertTests, &file)
	cleared := map[string]bool{}
	for _, test := range file.Tests {
		quiet, fired := map[string]bool{}, map[string]time.Duration{}
		for _, a := range test.Alerts {
			switch since, firing := fired[a.Name]; {
			case len(a.Want) > 0:
				fired[a.Name] = a.Time
			case firing && a.Time > since:
				cleared[a.Name] = cleared[a.Name] || quiet[a.Name]
			default:
				quiet[a.Name] = true
			}
		}
	}
	for _, r := range rules(t) {
		if r.Alert != "" && !cleared[r.Alert] {
			t.Errorf("%s: no test in %s has it quiet, then firing, then quiet again", r.Alert, alertTests)
		}
	}
}
