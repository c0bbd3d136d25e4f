package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/admin"
	"github.com/foo-protocol/foo-sidecar/test/observability/browser"
)

// scene is what a page is shown by a sidecar that is not there.
type scene struct {
	stats  map[string]any // over those of an idle sidecar
	moving map[string]int // totals that grow by so much each second
	status admin.Status
	p99    func(second int) float64
}

// stage serves one scene after the other.
type stage struct {
	scene atomic.Pointer[scene]
	tick  atomic.Int64
}

func (s *stage) events(first bool) ([]byte, error) {
	now, tick, sc := time.Now(), s.tick.Add(1), s.scene.Load()
	stats := map[string]any{
		"time": now, "uptime_seconds": 3600 + tick, "version": "v1", "in_flight": 0, "connections": map[string]any{"open": 1},
		"request_rate_1s": 0.0, "request_rate_10s": 0.0, "response_rate_1s": 0.0, "response_rate_10s": 0.0,
	}
	maps.Copy(stats, sc.stats)
	for name, step := range sc.moving {
		stats[name] = int64(step) * tick
	}
	var history []map[string]any
	for i := range 120 {
		point := map[string]any{"time": now.Add(time.Duration(i-120) * time.Second)}
		if sc.p99 != nil {
			point["p99"] = sc.p99(i)
		}
		history = append(history, point)
	}
	if !first {
		history = history[119:]
	}
	return json.Marshal(map[string]any{"stats": stats, "status": sc.status.Document("v1"), "history": history, "bounds": []float64{0.001, 1}})
}

func good() admin.Status {
	return admin.Status{
		Listeners:  []admin.ListenerStatus{{Name: "default", Bound: true}},
		Upstreams:  []admin.UpstreamStatus{{Name: "default", Reachable: true, Endpoints: []admin.EndpointStatus{{Address: "foo:8001", Dialed: 1}}}},
		Config:     admin.ConfigStatus{Generation: 3, LoadedAt: time.Now().Add(-time.Hour)},
		Checkpoint: admin.CheckpointStatus{Enabled: true, Working: true, LastSuccess: time.Now()},
	}
}

// with returns a good status that was changed.
func with(change func(*admin.Status)) admin.Status {
	s := good()
	change(&s)
	return s
}

func TestVerdictSaysWhatIsWrong(t *testing.T) {
	busy := map[string]any{"request_rate_10s": 100.0}
	unreachable := func(s *admin.Status) {
		s.Upstreams[0].Reachable = false
		s.Upstreams[0].Endpoints[0].LastError = "dial tcp 10.0.0.1:8001: connection refused"
	}
	for _, test := range []struct {
		name, level, title, rest string
		scene                    scene
	}{
		{"idle", "good", "Ready, but there are no requests", "Clients are connected, but send nothing.", scene{status: good()}},
		{"well", "good", "Ready, all is well", "100 requests per second, none fails.", scene{status: good(), stats: busy, moving: map[string]int{"acked": 100}}},
		{"few fail", "warn", "Ready, but 2.0 % of requests are refused", "2.0 % by the upstream",
			scene{status: good(), stats: busy, moving: map[string]int{"acked": 98, "naked": 2}}},
		{"many fail", "bad", "Ready, but 30 % of requests are refused or get no answer", "10 % by the upstream, 10 % by the sidecar, 10 % without an answer",
			scene{status: good(), stats: busy, moving: map[string]int{"acked": 70, "naked": 10, "nak_local": 10, "unanswered": 10}}},
		{"upstream", "bad", "Ready, but the upstream cannot be reached", "connection refused", scene{status: with(unreachable)}},
		{"config", "warn", "Ready, but the new configuration was refused", "no upstream is called x",
			scene{status: with(func(s *admin.Status) {
				s.Config.LastError, s.Config.LastErrorAt = "no upstream is called x", time.Now()
			})}},
		{"the worst first", "bad", "Ready, but the upstream cannot be reached", "The new configuration was refused: no upstream is called x",
			scene{status: with(func(s *admin.Status) { unreachable(s); s.Config.LastError = "no upstream is called x" })}},
		{"not ready", "bad", "Not ready: no upstream can be reached", "Kubernetes sends this pod no traffic",
			scene{status: with(func(s *admin.Status) { s.Reasons = []string{"no upstream can be reached"} })}},
		{"draining", "warn", "Not ready: draining", "3 requests and 1 connection are left",
			scene{status: with(func(s *admin.Status) {
				s.Reasons = []string{"draining"}
				s.Drain = admin.DrainStatus{Draining: true, Since: time.Now(), Connections: 1, InFlight: 3}
			})}},
		{"checkpoint", "warn", "Ready, but the statistics cannot be saved", "disk full",
			scene{status: with(func(s *admin.Status) { s.Checkpoint.Working, s.Checkpoint.LastError = false, "disk full" })}},
		{"stuck", "warn", "Ready, but a request has been waiting for 2 minutes", "7 requests in flight",
			scene{status: good(), stats: map[string]any{"oldest_request_seconds": 125.0, "in_flight": 7}}},
		{"slow", "warn", "Ready, but answers are slower than before", "p99 is 80 ms; it was 2 ms",
			scene{status: good(), stats: busy, moving: map[string]int{"acked": 100}, p99: func(second int) float64 {
				if second < 110 {
					return 0.002
				}
				return 0.08
			}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := new(stage)
			s.scene.Store(&test.scene)
			p := tab(t, s.serve(t, s.events))
			untilShown(t, p, "verdict-title", test.title)
			untilShown(t, p, "verdict", test.rest)
			if level := must[string](t)(browser.Eval[string](p, `document.getElementById("verdict").dataset.level`)); level != test.level {
				t.Errorf("the verdict's level is %q, want %q", level, test.level)
			}
			noProblems(t, p)
		})
	}
}

// serve serves a page with events and returns where it is.
func (s *stage) serve(t *testing.T, events func(first bool) ([]byte, error)) string {
	t.Helper()
	ln := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	ctx, end := context.WithCancel(context.Background())
	served := make(chan error)
	// What a link leads to is not asked here.
	options := admin.Options{Events: events, Metrics: http.NotFoundHandler()}
	go func() { served <- admin.NewServer(options).Serve(ctx, ln) }()
	t.Cleanup(func() {
		end()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return fmt.Sprintf("http://%s/", ln.Addr())
}

func TestPageWithoutDataSaysSo(t *testing.T) {
	s := new(stage)
	s.scene.Store(&scene{status: good()})
	var broken atomic.Bool
	p := tab(t, s.serve(t, func(first bool) ([]byte, error) {
		if broken.Load() {
			return nil, fmt.Errorf("not finite")
		}
		return s.events(first)
	}))
	broken.Store(true)
	untilShown(t, p, "verdict-title", "The sidecar has no data for this page")
	broken.Store(false)
	untilShown(t, p, "verdict-title", "Ready")
	noProblems(t, p)
}

func TestPageSaysWhyItGetsNoData(t *testing.T) {
	s := new(stage)
	s.scene.Store(&scene{status: good()})
	url := s.serve(t, s.events)
	for range 32 {
		watch(t, url)
	}
	p := must[*browser.Page](t)(chromium.Tab())
	t.Cleanup(p.Close)
	if err := p.Open(url); err != nil {
		t.Fatal(err)
	}
	untilShown(t, p, "verdict-detail", "too many viewers")
	for _, problem := range p.Problems() {
		if !strings.Contains(problem, "503") {
			t.Errorf("on the console: %s", problem)
		}
	}
}

// watch takes the place of a page until the test ends.
func watch(t *testing.T, url string) {
	t.Helper()
	address := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")
	c := must[net.Conn](t)(net.Dial("tcp", address))
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil { // it has been let in, or turned away
		t.Fatal(err)
	}
}
