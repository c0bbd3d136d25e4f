package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const statsLine = `{"msg_total":3,"msg_req":2,"note":"<&>"}` + "\n"

// fullOptions has every source.
func fullOptions() Options {
	return Options{
		Version: "v1.2.3",
		Live:    func() Live { return Live{UptimeSeconds: 1.5} },
		Status:  func() Status { return Status{Config: ConfigStatus{Generation: 4, Hash: "abc"}} },
		Stats:   func() ([]byte, error) { return []byte(statsLine), nil },
		Config: func() Config {
			return Config{
				ConfigStatus: ConfigStatus{Generation: 4, Hash: "abc", LastError: "no such upstream"},
				Effective:    map[string]any{"kind": "SidecarConfig"},
			}
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = io.WriteString(w, "up 1\n")
		}),
		Events: func(bool) ([]byte, error) { return []byte("{}"), nil },
		Recent: func() any { return map[string]any{"failed": []any{}} },
		Tap:    func(context.Context, TapQuery) (<-chan []byte, error) { return nil, nil },
		Pprof:  func() bool { return true },
	}
}

// running is a Server on a real socket.
type running struct {
	addr string
	stop func() error // ends Serve's context and returns what Serve returned
}

func serve(t *testing.T, o Options) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- NewServer(o).Serve(ctx, ln) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-served
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &running{ln.Addr().String(), stop}
}

// reply is an answer that was read to its end.
type reply struct {
	code   int
	header http.Header
	body   string
}

func (s *running) do(t *testing.T, method, path string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(body)}
}

// wantJSON checks that an answer is one JSON document and returns it.
func wantJSON(t *testing.T, r reply, code int) map[string]any {
	t.Helper()
	if got := r.header.Get("Content-Type"); r.code != code || got != "application/json" {
		t.Errorf("got %d %q, want %d as JSON", r.code, got, code)
	}
	if !strings.HasSuffix(r.body, "\n") {
		t.Errorf("no newline at the end of %q", r.body)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil {
		t.Fatalf("%v: %q", err, r.body)
	}
	return doc
}

func TestEachPathAnswersReadsAndNothingElse(t *testing.T) {
	s := serve(t, fullOptions())
	for path, want := range map[string]struct{ contentType, contains string }{
		"/":                    {"application/json", `"path": "/stats"`},
		"/health":              {"application/json", `"status": "ok"`},
		"/heartbeat":           {"application/json", `"uptime_seconds": 1.5`},
		"/status":              {"application/json", `"status": "ready"`},
		"/stats":               {"application/json", statsLine},
		"/metrics":             {"text/plain; version=0.0.4", "up 1\n"},
		"/config":              {"application/json", `"kind": "SidecarConfig"`},
		"/debug/recent":        {"application/json", `"failed": []`},
		"/page/page.js":        {"text/javascript; charset=utf-8", "EventSource"},
		"/page/page.css":       {"text/css; charset=utf-8", "prefers-color-scheme"},
		"/debug/pprof/":        {"text/html; charset=utf-8", "goroutine"},
		"/debug/pprof/heap":    {"application/octet-stream", ""},
		"/debug/pprof/cmdline": {"text/plain; charset=utf-8", "admin.test"},
		"/debug/pprof/symbol":  {"text/plain; charset=utf-8", "num_symbols"},
		"/stats?pretty":        {"application/json", statsLine},
	} {
		get := s.do(t, "GET", path)
		if get.code != 200 || get.header.Get("Content-Type") != want.contentType || !strings.Contains(get.body, want.contains) {
			t.Errorf("GET %s: got %d %q %.200q, want 200 %q with %q",
				path, get.code, get.header.Get("Content-Type"), get.body, want.contentType, want.contains)
		}
		head := s.do(t, "HEAD", path)
		if head.code != 200 || head.body != "" {
			t.Errorf("HEAD %s: got %d and %q, want 200 and no body", path, head.code, head.body)
		}
		if got := head.header.Get("Content-Type"); got != want.contentType {
			t.Errorf("HEAD %s: got %q, want %q", path, got, want.contentType)
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"} {
			r := s.do(t, method, path)
			doc := wantJSON(t, r, 405)
			if r.header.Get("Allow") != "GET, HEAD" || !strings.Contains(doc["error"].(string), method) {
				t.Errorf("%s %s: got Allow %q and %q", method, path, r.header.Get("Allow"), r.body)
			}
		}
		for _, r := range []reply{get, head} {
			if r.header.Get("Cache-Control") != "no-store" || r.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: may be cached or sniffed: %v", path, r.header)
			}
		}
	}
}

func TestUnknownPathSaysWhatExists(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		want    []any
	}{
		"all of it": {fullOptions(), []any{"/", "/health", "/heartbeat", "/status", "/stats", "/metrics", "/config", "/debug/recent", "/tap", "/events", "/page/", "/debug/pprof/"}},
		"no source": {Options{}, []any{"/", "/health", "/heartbeat", "/status"}},
	} {
		s := serve(t, test.options)
		for _, path := range []string{"/nothing", "/health/", "/stats/x", "/debug/pprof", "//health", "/page", "/page/x.js", "/page/", "/page/vendor", "/page/%2e%2e/doc.go", "/%2e%2e/health"} {
			r := s.do(t, "GET", path)
			doc := wantJSON(t, r, 404)
			if d := cmp.Diff(test.want, doc["paths"]); d != "" {
				t.Errorf("%s: paths of the 404 of %s differ (-want +got):\n%s", name, path, d)
			}
			if r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("the 404 of %s may be cached", path)
			}
		}
	}
	s := serve(t, Options{})
	for _, path := range []string{"/stats", "/metrics", "/config", "/debug/recent", "/tap", "/events", "/page/page.js", "/debug/pprof/", "/debug/pprof/heap"} {
		wantJSON(t, s.do(t, "GET", path), 404)
	}
}

func TestLivenessFailsWithItsReason(t *testing.T) {
	o := Options{Version: "v1", Live: func() Live { return Live{Reason: "the accept loop died", UptimeSeconds: 7} }}
	s := serve(t, o)
	want := map[string]any{"status": "failed", "version": "v1", "reason": "the accept loop died", "uptime_seconds": 7.0}
	for _, path := range []string{"/health", "/heartbeat"} {
		if d := cmp.Diff(want, wantJSON(t, s.do(t, "GET", path), 503)); d != "" {
			t.Errorf("%s differs (-want +got):\n%s", path, d)
		}
		if r := s.do(t, "HEAD", path); r.code != 503 {
			t.Errorf("HEAD %s: got %d, want 503", path, r.code)
		}
	}
}

func TestReadinessFailsWithItsReasonsAndTheWholeState(t *testing.T) {
	at := time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)
	o := Options{Version: "v1", Status: func() Status {
		return Status{
			Reasons:   []string{"draining", "listener default is not bound"},
			Listeners: []ListenerStatus{{Name: "default", Address: ":8002", Upstream: "main", Connections: 3, InFlight: 2, Error: "address in use"}},
			Upstreams: []UpstreamStatus{{Name: "main", Connections: 3, Endpoints: []EndpointStatus{
				{Address: ":8001", Dialed: 5, Failed: 1, LastError: "refused", LastFailure: at},
			}}},
			Config:     ConfigStatus{Generation: 2, Hash: "abc", LoadedAt: at, Degraded: true, LastError: "unknown key", LastErrorAt: at},
			Checkpoint: CheckpointStatus{Enabled: true, Store: "file x", LastSuccess: at, LastError: "disk full"},
			Drain:      DrainStatus{Draining: true, Since: at, Connections: 3, InFlight: 2},
		}
	}}
	s := serve(t, o)
	const want = `{
  "status": "not ready",
  "version": "v1",
  "reasons": [
    "draining",
    "listener default is not bound"
  ],
  "listeners": [
    {
      "name": "default",
      "address": ":8002",
      "upstream": "main",
      "bound": false,
      "connections": 3,
      "in_flight": 2,
      "error": "address in use"
    }
  ],
  "upstreams": [
    {
      "name": "main",
      "reachable": false,
      "connections": 3,
      "endpoints": [
        {
          "address": ":8001",
          "dialed": 5,
          "failed": 1,
          "last_error": "refused",
          "last_failure": "2024-05-17T12:00:00Z"
        }
      ]
    }
  ],
  "config": {
    "generation": 2,
    "hash": "abc",
    "loaded_at": "2024-05-17T12:00:00Z",
    "degraded": true,
    "last_error": "unknown key",
    "last_error_at": "2024-05-17T12:00:00Z"
  },
  "checkpoint": {
    "enabled": true,
    "store": "file x",
    "working": false,
    "last_success": "2024-05-17T12:00:00Z",
    "last_error": "disk full"
  },
  "drain": {
    "draining": true,
    "since": "2024-05-17T12:00:00Z",
    "connections": 3,
    "in_flight": 2
  }
}
`
	r := s.do(t, "GET", "/status")
	wantJSON(t, r, 503)
	if d := cmp.Diff(want, r.body); d != "" {
		t.Errorf("/status differs (-want +got):\n%s", d)
	}
}

func TestStatsPassTheLineOnByteForByte(t *testing.T) {
	s := serve(t, fullOptions())
	if got := s.do(t, "GET", "/stats").body; got != statsLine {
		t.Errorf("got %q, want %q", got, statsLine)
	}
}

func TestConfigShowsTheDocumentAndTheLastReload(t *testing.T) {
	s := serve(t, fullOptions())
	want := map[string]any{
		"generation": 4.0, "hash": "abc", "degraded": false, "last_error": "no such upstream",
		"effective": map[string]any{"kind": "SidecarConfig"},
	}
	if d := cmp.Diff(want, wantJSON(t, s.do(t, "GET", "/config"), 200)); d != "" {
		t.Errorf("/config differs (-want +got):\n%s", d)
	}
}

func TestSourceThatFailsIsAnAnswerOf500(t *testing.T) {
	o := fullOptions()
	o.Stats = func() ([]byte, error) { return nil, errors.New("not finite") }
	o.Config = func() Config { return Config{Effective: func() {}} }
	s := serve(t, o)
	for _, path := range []string{"/stats", "/config"} {
		if doc := wantJSON(t, s.do(t, "GET", path), 500); doc["error"] == "" {
			t.Errorf("%s: no error in %v", path, doc)
		}
	}
}

func TestMetricsAreJSONOnlyForThoseWhoPreferIt(t *testing.T) {
	s := serve(t, fullOptions())
	const prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
	for accept, want := range map[string]string{
		"":                                "up 1\n",
		"*/*":                             "up 1\n",
		prometheus:                        "up 1\n",
		"text/html,application/xml;q=0.9": "up 1\n",
		"application/json":                statsLine,
	} {
		r := s.do(t, "GET", "/metrics", "Accept", accept)
		if r.code != 200 || r.body != want || r.header.Get("Vary") != "Accept" {
			t.Errorf("Accept %q: got %d %q, Vary %q; want %q", accept, r.code, r.body, r.header.Get("Vary"), want)
		}
	}
	two := s.do(t, "GET", "/metrics", "Accept", "text/plain;q=0.1", "Accept", "application/json")
	if two.body != statsLine {
		t.Errorf("two headers: got %q, want the JSON", two.body)
	}
}

func TestPreferenceOfJSON(t *testing.T) {
	for accept, want := range map[string]bool{
		"":                         false,
		"*/*":                      false,
		"application/*":            false, // covers OpenMetrics just as well
		"application/json":         true,
		"Application/JSON":         true,
		"application/json;q=0":     false,
		"application/json;q=0.0":   false,
		"application/json;q=0.001": true,
		"application/json ; q=0.5 , text/plain ; q=0.4":                  true,
		"application/json;q=0.5, text/plain":                             false,
		"application/json, text/plain, */*":                              false, // all the same
		"application/json, */*;q=0.8":                                    true,
		"application/json, text/*":                                       false,
		"application/json;q=0.9, text/*;q=0.3":                           true,
		"application/json;q=0.2, */*;q=0.8":                              false, // the specific one counts
		"application/json;charset=utf-8":                                 true,
		"application/json;v=1;q=0.1, text/plain;q=0.2":                   false,
		"application/json;q=2":                                           false, // not a number from 0 to 1
		"application/json;q=x":                                           false,
		"application/json;q=NaN":                                         false,
		"json":                                                           false,
		"/json, application/, ,;;,":                                      false,
		"application/json;q=0.3, application/json;q=1, text/plain;q=0.5": true,
	} {
		if got := prefersJSON(http.Header{"Accept": {accept}}); got != want {
			t.Errorf("Accept %q: got %v, want %v", accept, got, want)
		}
	}
}

func FuzzAccept(f *testing.F) {
	f.Add("application/json;q=0.5, text/*;q=0.3, */*")
	f.Add(";,=/;q=1e-400")
	f.Fuzz(func(t *testing.T, accept string) {
		for _, r := range parseAccept([]string{accept}) {
			if !(r.quality >= 0 && r.quality <= 1) || r.kind == "" || r.subtype == "" {
				t.Errorf("%q has the range %+v", accept, r)
			}
		}
		if prefersJSON(http.Header{"Accept": {accept}}) && !strings.Contains(strings.ToLower(accept), "application/") {
			t.Errorf("%q is taken to prefer JSON", accept)
		}
	})
}

// logLines remembers what was logged.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, args)
	}, funcr.Options{})
}

func (l *logLines) contains(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.lines, func(line string) bool { return strings.Contains(line, s) })
}
