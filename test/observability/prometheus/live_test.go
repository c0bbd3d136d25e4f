//go:build unix

package prometheus

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

// What passes: a client of each of two sidecars, at a steady pace, for so long
// that a window of 10 s can be compared with what went before.
const (
	webRate, apiRate = 300, 100
	loadTime         = 24 * time.Second
	webPod, apiPod   = "web-7d9f8c6b5d-x2x4z", "api-0"
)

// scene is what was recorded while the clients ran.
type scene struct {
	classic, native *prometheus
	web, api        programs.Report
	// From, to is a time during which the load was steady, and end a time
	// after it, when all had been scraped.
	from, to, end time.Time
}

// record runs the clients.
func record(t *testing.T) *scene {
	t.Helper()
	traces := collector(t)
	sidecars := []*sidecar{
		newSidecar(t, webPod, traces, "--nak", "0.05", "--delay", "32ms", "--delay-spread", "4ms"),
		newSidecar(t, apiPod, traces, "--delay", "2ms"),
	}
	s := &scene{
		classic: newPrometheus(t, sidecars, "exemplar-storage"),
		native:  newPrometheus(t, sidecars, "exemplar-storage,native-histograms"),
	}
	for _, p := range []*prometheus{s.classic, s.native} {
		p.await("count(foo_sidecar_build_info)", 2) // zeros were scraped before the first request
	}
	begin := time.Now()
	flags := func(rate int) []string {
		return []string{"--connections", "4", "--pipeline", "32", "--rate", strconv.Itoa(rate), "--duration", loadTime.String()}
	}
	web, api := built.Load(t, sidecars[0].Address, flags(webRate)...), built.Load(t, sidecars[1].Address, flags(apiRate)...)
	s.web, s.api = web.Report(), api.Report()
	if !s.web.Complete || !s.api.Complete || s.web.NAKs == 0 {
		t.Fatalf("the clients report %+v and %+v", s.web, s.api)
	}
	for _, p := range []*prometheus{s.classic, s.native} {
		p.await(`sum(foo_sidecar_messages_total{type="req"})`, float64(s.web.Sent+s.api.Sent))
		p.await(`sum(foo_sidecar_connections)`, 0)
	}
	s.from, s.to, s.end = begin.Add(8*time.Second), begin.Add(loadTime-time.Second), time.Now()
	return s
}

func TestDashboardsAndRulesShowWhatPassed(t *testing.T) {
	s := record(t)
	t.Run("counters agree with the clients exactly", s.checkCounters)
	t.Run("panels", s.checkPanels)
	t.Run("panels agree with the clients", s.checkNumbers)
	t.Run("native histograms", s.checkNative)
	t.Run("variables", s.checkVariables)
	t.Run("exemplars", s.checkExemplars)
	t.Run("rules", s.checkRules)
	t.Run("windows agree with rate()", s.checkWindows)
}

// checkCounters compares each count of a client with that of its sidecar.
func (s *scene) checkCounters(t *testing.T) {
	for pod, r := range map[string]programs.Report{webPod: s.web, apiPod: s.api} {
		for expr, want := range map[string]int64{
			`sum(foo_sidecar_messages_total{type="req",pod="$pod"})`:             r.Sent,
			`sum(foo_sidecar_messages_total{type="ack",pod="$pod"})`:             r.ACKs,
			`sum(foo_sidecar_messages_total{type="nak",pod="$pod"})`:             r.NAKs,
			`sum(foo_sidecar_pairs_total{outcome="ack",pod="$pod"})`:             r.ACKs,
			`sum(foo_sidecar_pairs_total{outcome="nak",pod="$pod"})`:             r.NAKs,
			`sum(foo_sidecar_local_naks_total{pod="$pod"})`:                      0,
			`sum(foo_sidecar_unanswered_total{pod="$pod"})`:                      0,
			`sum(foo_sidecar_received_bytes_total{side="client",pod="$pod"})`:    r.Bytes.Sent,
			`sum(foo_sidecar_received_bytes_total{side="upstream",pod="$pod"})`:  r.Bytes.Received,
			`sum(foo_sidecar_connections_opened_total{pod="$pod"})`:              r.Connections.Opened,
			`sum(foo_sidecar_request_duration_seconds_count{pod="$pod"})`:        r.ACKs + r.NAKs,
			`sum(foo_sidecar_in_flight_requests{pod="$pod"})`:                    0,
			`sum(foo_sidecar_malformed_total{pod="$pod"})`:                       0,
			`sum(foo_sidecar_upstream_dials_total{result="failure",pod="$pod"})`: 0,
		} {
			expr = strings.ReplaceAll(expr, "$pod", pod)
			if got := s.classic.number(expr, s.end); got != float64(want) {
				t.Errorf("%s: got %v, the client counted %d", expr, got, want)
			}
		}
	}
}

// checkPanels asks for every panel of both dashboards.
func (s *scene) checkPanels(t *testing.T) {
	for name, choices := range map[string]choices{
		"overview": everything.with(choices{"namespace": "shop", "workload": "(web|api)"}),
		"pod":      everything.with(choices{"pod": webPod}),
	} {
		for _, p := range readDashboard(t, name).Panels {
			t.Run(name+"/"+p.Title, func(t *testing.T) { s.classic.checkPanel(t, p, choices, s.from, s.to) })
		}
	}
}

// checkNumbers compares what panels show with what the clients report.
func (s *scene) checkNumbers(t *testing.T) {
	overview, pod := readDashboard(t, "overview"), readDashboard(t, "pod")
	for workload, r := range map[string]programs.Report{"web": s.web, "api": s.api} {
		name := map[string]string{"web": webPod, "api": apiPod}[workload]
		one := everything.with(choices{"pod": name})
		of := map[string]string{"namespace": "shop", "workload": workload}
		near := func(title string, got, want, within float64) {
			if math.Abs(got-want) > within {
				t.Errorf("%s of %s: the panel shows %v, the client reports %v", title, workload, got, want)
			}
		}
		near("requests", s.classic.shown(t, overview, "Requests", everything, "12s", s.to, of), r.Throughput, 0.05*r.Throughput)
		near("requests", s.classic.shown(t, pod, "Requests now", one, "12s", s.to, nil), r.Throughput, 0.05*r.Throughput)
		near("window", s.classic.shown(t, pod, "Requests, last 1 s and 10 s", one, "12s", s.to, map[string]string{"window": "10s"}),
			r.Throughput, 0.05*r.Throughput)
		// Over all of the load, both have seen the same requests.
		share := float64(r.NAKs) / float64(r.ACKs+r.NAKs)
		near("refused", s.classic.shown(t, overview, "Refused requests", everything, "2m", s.end, of), share, 1e-6)
		near("refused", s.classic.shown(t, pod, "Refused now", one, "2m", s.end, nil), share, 1e-6)
		// The client sees what the sidecar sees and the way between them.
		got := s.classic.shown(t, pod, "p99 now", one, "2m", s.end, nil)
		if mine, clients := s.bucket(t, got), s.bucket(t, r.Latency.P99); mine > clients || mine < clients-1 {
			t.Errorf("p99 of %s: the panel shows %v s, the client reports %v s", workload, got, r.Latency.P99)
		}
	}
}

// bucket is the number of the classic bucket that a duration belongs to.
func (s *scene) bucket(t *testing.T, seconds float64) int {
	t.Helper()
	var bounds []float64
	for _, le := range s.classic.labels("le", "foo_sidecar_request_duration_seconds_bucket") {
		bound, err := strconv.ParseFloat(le, 64)
		if err != nil {
			t.Fatal(err)
		}
		bounds = append(bounds, bound)
	}
	slices.Sort(bounds)
	n, _ := slices.BinarySearch(bounds, seconds)
	return n
}

// checkNative asks a Prometheus that keeps native histograms, and no classic ones,
// for what needs durations.
func (s *scene) checkNative(t *testing.T) {
	expr := `histogram_count(sum(foo_sidecar_request_duration_seconds{pod="` + webPod + `"}))`
	if got, want := s.native.number(expr, s.end), float64(s.web.ACKs+s.web.NAKs); got != want {
		t.Errorf("%s: got %v, the client counted %v", expr, got, want)
	}
	for name, choices := range map[string]choices{"overview": everything, "pod": everything.with(choices{"pod": webPod})} {
		for _, p := range readDashboard(t, name).Panels {
			// A heat map of classic buckets needs them, as its description says. Durations
			// by workload need a later Prometheus: in 2.42 label_replace drops histograms.
			if len(p.Targets) > 0 && p.Type != "heatmap" && strings.Contains(p.Targets[0].Expr, "histogram_quantile") &&
				!strings.Contains(p.Targets[0].Expr, "label_replace") {
				t.Run(name+"/"+p.Title, func(t *testing.T) { s.native.checkPanel(t, p, choices, s.from, s.to) })
			}
		}
	}
	pod, one := readDashboard(t, "pod"), everything.with(choices{"pod": webPod})
	classic := s.classic.shown(t, pod, "p99 now", one, "2m", s.end, nil)
	if native := s.native.shown(t, pod, "p99 now", one, "2m", s.end, nil); s.bucket(t, native) != s.bucket(t, classic) {
		t.Errorf("p99: %v s of the native histogram, %v s of the classic one", native, classic)
	}
	for _, r := range rules(t) {
		if strings.HasPrefix(r.Record, "namespace_workload:foo_sidecar_slow:") && len(s.native.query(r.Expr, s.to)) != 2 {
			t.Errorf("%s has no value for each workload", r.Record)
		}
	}
}

// checkVariables asks for what can be chosen.
func (s *scene) checkVariables(t *testing.T) {
	overview, pod := readDashboard(t, "overview"), readDashboard(t, "pod")
	for _, tc := range []struct {
		d        dashboard
		variable string
		choices  choices
		want     []string
	}{
		{overview, "namespace", everything, []string{"shop"}},
		{overview, "workload", everything, []string{"api", "web"}},
		{overview, "pod", everything, []string{apiPod, webPod}},
		{overview, "pod", everything.with(choices{"workload": "web"}), []string{webPod}},
		{overview, "pod", everything.with(choices{"workload": "we"}), nil},
		{overview, "listener", everything, []string{"default"}},
		{pod, "namespace", everything, []string{"shop"}},
		{pod, "pod", everything, []string{apiPod, webPod}},
		{pod, "listener", everything.with(choices{"pod": apiPod}), []string{"default"}},
	} {
		if got := s.classic.values(t, tc.d, tc.variable, tc.choices); !slices.Equal(got, tc.want) {
			t.Errorf("%s with %v: got %v, want %v", tc.variable, tc.choices, got, tc.want)
		}
	}
}

// checkExemplars looks for the traces behind the panels that show them.
func (s *scene) checkExemplars(t *testing.T) {
	id := regexp.MustCompile(`^[0-9a-f]{32}$`)
	pod, one := readDashboard(t, "pod"), everything.with(choices{"pod": webPod})
	for _, title := range []string{"Distribution of the duration", "Percentiles of the duration", "Why requests fail"} {
		target := pod.panel(t, title).Targets[0]
		found := s.classic.exemplars(one.fill(t, target.Expr, "5s"), s.from, s.end)
		if !target.Exemplar || len(found) == 0 {
			t.Errorf("%s: no exemplars", title)
		}
		for _, x := range found {
			if !id.MatchString(x.Labels["trace_id"]) {
				t.Errorf("%s: the exemplar %v has no trace", title, x)
			}
		}
	}
}

// selectors finds the selectors in an expression.
var selectors = regexp.MustCompile(`\b(?:up\b|(?:[a-z_]+:)?(?:foo_sidecar|process)_[a-z0-9_:]+)(?:\{(?:[^"}]|"[^"]*")*\})?`)

// checkRules looks at how the rules were evaluated, and that each part of each
// selects something: an alert that selects nothing never fires.
func (s *scene) checkRules(t *testing.T) {
	var data struct {
		Groups []struct {
			Rules []struct {
				Name, Health, LastError string
				Alerts                  []struct{ State string }
			}
		}
	}
	s.classic.get("rules", nil, &data)
	evaluated := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			evaluated++
			if r.Health != "ok" {
				t.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
			for _, a := range r.Alerts {
				if !strings.HasPrefix(r.Name, "FooSidecarRefusals") {
					t.Errorf("%s is %s although nothing is wrong", r.Name, a.State)
				}
			}
		}
	}
	all := rules(t)
	if evaluated != len(all) {
		t.Errorf("%d rules were evaluated, want %d", evaluated, len(all))
	}
	for _, r := range all {
		if r.Record != "" && len(s.classic.query(r.Record, s.to)) != 2 {
			t.Errorf("%s has no value for each sidecar", r.Record)
		}
		for _, selector := range selectors.FindAllString(r.Expr, -1) {
			if selector == "foo_sidecar_request_duration_seconds" {
				continue // native, see checkNative
			}
			if len(s.classic.query(selector, s.to)) == 0 {
				t.Errorf("%s%s: nothing is selected by %s", r.Record, r.Alert, selector)
			}
		}
	}
}

// checkWindows shows that the gauge of the moving window, over time, agrees with
// the counter.
func (s *scene) checkWindows(t *testing.T) {
	const name = "namespace_pod_listener:foo_sidecar_request_rate:deviation5m"
	exprs := map[string]string{}
	for _, r := range rules(t) {
		// What is recorded goes back to before the load.
		exprs[r.Record] = strings.ReplaceAll(r.Expr, "[5m]", "[10s]")
	}
	expr := exprs[name]
	for _, part := range []string{"namespace_pod_listener:foo_sidecar_request_rate:avg5m", "namespace_pod_listener:foo_sidecar_requests:rate5m"} {
		if exprs[part] == "" || !strings.Contains(expr, part) {
			t.Fatalf("%s does not compare %s: %s", name, part, expr)
		}
		expr = strings.ReplaceAll(expr, part, "("+exprs[part]+")")
	}
	result := s.classic.query(expr, s.to)
	if len(result) != 2 {
		t.Errorf("got %d series, want one of each sidecar: %s", len(result), expr)
	}
	for _, r := range result {
		if deviation := r.Value.value; !(math.Abs(deviation) < 0.03) {
			t.Errorf("%s: the window deviates from the counter by %.1f %%, want less than 3 %%", r.name(), 100*deviation)
		}
	}
	// The last second of a steady load is as good as any other.
	for _, window := range []string{"1s", "10s"} {
		got := s.classic.number(`foo_sidecar_request_rate{pod="`+webPod+`",window="`+window+`"}`, s.to)
		if math.Abs(got-webRate) > 0.1*webRate {
			t.Errorf("requests/s over the last %s: got %v, want about %d", window, got, webRate)
		}
	}
}
