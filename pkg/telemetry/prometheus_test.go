package telemetry

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"

	"github.com/foo-protocol/foo-sidecar/internal/golden"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/upstream"
)

// scrape returns what Prometheus would read.
func scrape(t *testing.T, h http.Handler, accept string) (body, contentType string) {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", accept)
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		t.Fatalf("got status %d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String(), answer.Header().Get("Content-Type")
}

// series returns the lines that are no comments.
func series(body string) (lines []string) {
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

func TestMetricsOfOurOwn(t *testing.T) {
	s := example(t)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCollector(func() Snapshot { return s }))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	if len(families) != len(metrics) {
		t.Errorf("got %d metrics, want %d", len(families), len(metrics))
	}
	var text bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	// The version of Go is the only thing that differs between machines.
	got := regexp.MustCompile(`goversion="[^"]+"`).ReplaceAllString(text.String(), `goversion="go"`)
	golden.Compare(t, "testdata/metrics.golden.txt", got, "see whether that was meant and run the test with -update")
}

// TestMetricsFollowTheirNames holds what dashboards and the rules' checker rely on.
func TestMetricsFollowTheirNames(t *testing.T) {
	units := map[string]string{"_timestamp_seconds": "timestamp", "_seconds": "seconds", "_ratio": "ratio", "_bytes": "bytes", "_info": "info"}
	for _, m := range Metrics() {
		if m.Unit == "" || !strings.HasPrefix(m.Name, namespace+"_") {
			t.Errorf("%s: got unit %q, want one, and the name to begin with %s", m.Name, m.Unit, namespace)
		}
		base, total := strings.CutSuffix(m.Name, "_total")
		if total != (m.Type == "counter") {
			t.Errorf("%s is a %s", m.Name, m.Type)
		}
		for suffix, unit := range units {
			longer := suffix == "_seconds" && strings.HasSuffix(base, "_timestamp_seconds")
			if strings.HasSuffix(base, suffix) && !longer && m.Unit != unit {
				t.Errorf("%s: got unit %s, want %s", m.Name, m.Unit, unit)
			}
		}
	}
}

// TestLabelsLeaveThoseOfPrometheus: a scrape sets labels of its own, and ours of
// the same name would be renamed to exported_*, in no dashboard.
func TestLabelsLeaveThoseOfPrometheus(t *testing.T) {
	taken := []string{"job", "instance", "namespace", "pod", "container", "endpoint", "service", "node", "le", "quantile"}
	for _, m := range Metrics() {
		for _, label := range m.Labels {
			if slices.Contains(taken, label) {
				t.Errorf("%s has a label %s, which Prometheus or its operator sets", m.Name, label)
			}
		}
	}
}

// TestSeriesStayBounded counts what a sidecar with one listener and one
// upstream costs the one who scrapes it.
func TestSeriesStayBounded(t *testing.T) {
	r := at(0)
	r.Listener("default")
	h := NewHandler(NewGatherer(func() Snapshot {
		s := r.Snapshot()
		s.Upstreams = []upstream.Stats{{Name: "default", Endpoints: []upstream.EndpointStats{{Address: "foo:8001"}}}}
		s.Config.LoadedAt, s.Checkpoint.LastSuccess = noon, noon
		return s
	}), logr.Discard())
	body, _ := scrape(t, h, "")
	own := 0
	for _, line := range series(body) {
		if strings.HasPrefix(line, namespace) {
			own++
		}
	}
	all := len(series(body))
	t.Logf("%d series, %d of them our own", all, own)
	if all > 150 { // an endpoint more is two series more
		t.Errorf("got %d series, want 150 at most", all)
	}
	for _, want := range []string{"go_goroutines", "process_start_time_seconds", "foo_sidecar_build_info"} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("%s is missing", want)
		}
	}
}

// TestPrometheusCountersStartAtZero holds that rate() has the first event of
// each series, and that no restored total shows.
func TestPrometheusCountersStartAtZero(t *testing.T) {
	r := at(0)
	if err := r.Restore("default", Totals(proxy.Counts{Requests: 7, Acked: 7, Dialed: 7}), nil); err != nil {
		t.Fatal(err)
	}
	r.Listener("default")
	body, _ := scrape(t, NewHandler(NewGatherer(r.Snapshot), logr.Discard()), "")
	found := 0
	for _, line := range series(body) {
		if strings.HasPrefix(line, namespace) && strings.Contains(line, `listener="default"`) {
			found++
			if !strings.HasSuffix(line, " 0") && !strings.Contains(line, "_window_coverage_") {
				t.Errorf("got %s, want 0", line)
			}
		}
	}
	if found == 0 {
		t.Error("the listener has no series")
	}
}

func TestScrapeTakesOneSnapshot(t *testing.T) {
	taken := 0
	h := NewHandler(NewGatherer(func() Snapshot { taken++; return Snapshot{} }), logr.Discard())
	scrape(t, h, "")
	if taken != 1 {
		t.Errorf("got %d snapshots, want 1", taken)
	}
}

func TestOpenMetricsForThoseWhoAsk(t *testing.T) {
	s := example(t)
	h := NewHandler(NewGatherer(func() Snapshot { return s }), logr.Discard())
	body, contentType := scrape(t, h, "application/openmetrics-text; version=1.0.0")
	if !strings.HasPrefix(contentType, "application/openmetrics-text") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("got %s that ends in %q", contentType, body[len(body)-20:])
	}
}

func TestMetricsThatCannotBeShownAreLoggedOnce(t *testing.T) {
	var logged []string
	log := funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{})
	twice := upstream.Stats{Name: "same"}
	broken := "\xff"
	h := NewHandler(NewGatherer(func() Snapshot {
		return Snapshot{Upstreams: []upstream.Stats{twice, twice, {Name: broken}}, Time: time.Now()}
	}), log)
	for range 3 {
		body, _ := scrape(t, h, "")
		if !strings.Contains(body, "foo_sidecar_config_generation 0") {
			t.Fatalf("what can be shown is missing: %s", body)
		}
	}
	if len(logged) != 1 || !strings.Contains(logged[0], "upstream_connections") || strings.Contains(logged[0], `\n`) {
		t.Errorf("got %d records, want one line about upstream_connections: %s", len(logged), fmt.Sprint(logged))
	}
}
