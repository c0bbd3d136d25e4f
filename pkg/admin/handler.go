package admin

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// maxBody is the size that the body of a request may announce. No path wants
// one, but some clients send one all the same.
const maxBody = 4 << 10

// endpoint is one path that exists.
type endpoint struct {
	path, about string
	serve       http.HandlerFunc
	exists      func() bool // nil: always
}

// below reports whether the endpoint is all paths that begin with its own.
func (e endpoint) below() bool { return e.path == pageRoot || e.path == pprofRoot }

type handler struct {
	opts      Options
	endpoints []endpoint // in the order of the index
	broadcast broadcast
	bugs      bugs
	ended     chan struct{} // closed by end
}

// Handler answers requests from the sources in o. Its streams end when their
// clients leave; those of a [Server] also when it ends.
func Handler(o Options) http.Handler { return newHandler(o) }

func newHandler(o Options) *handler {
	h := &handler{opts: o.withDefaults(), ended: make(chan struct{})}
	h.broadcast.document = o.Events
	h.broadcast.failed = func(err error) { h.opts.Log.Error(err, "the data of the status page can't be made") }
	add := func(exists bool, path, about string, serve http.HandlerFunc) {
		if exists {
			h.endpoints = append(h.endpoints, endpoint{path: path, about: about, serve: serve})
		}
	}
	add(true, "/", rootAbout(o), h.serveRoot)
	add(true, "/health", "liveness: 200, or 503 if the process can't recover by itself", h.serveHealth)
	add(true, "/heartbeat", "the same as /health", h.serveHealth)
	add(true, "/status", "readiness: 200, or 503 and why not, and how each part is", h.serveStatus)
	add(o.Stats != nil, "/stats", "the statistics as one line of JSON", h.serveStats)
	add(o.Metrics != nil, "/metrics", "the metrics for Prometheus; for Accept: application/json the same as /stats", h.serveMetrics)
	add(o.Config != nil, "/config", "the configuration that is running, and the last reload's outcome", h.serveConfig)
	add(o.Recent != nil, "/debug/recent", "the last pairs that failed or were slow, and the last breaches of the protocol", h.serveRecent)
	add(o.Tap != nil, "/tap", "pairs as they end, one line of JSON each, for as long as you read", h.serveTap)
	add(o.Events != nil, "/events", "what the status page shows, each second, as server-sent events", h.serveEvents)
	add(o.Events != nil, pageRoot, "the parts of the status page", h.servePage)
	if o.Pprof != nil {
		h.endpoints = append(h.endpoints, endpoint{pprofRoot, "profiles of the Go runtime", h.servePprof, o.Pprof})
	}
	return h
}

// rootAbout says what is at "/".
func rootAbout(o Options) string {
	if o.Events == nil {
		return "this list"
	}
	return "the status page for browsers (Accept: text/html), else this list"
}

// end ends the streams, once.
func (h *handler) end() { close(h.ended) }

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := &answer{ResponseWriter: rw}
	defer h.catch(w, r)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	serve := h.find(r.URL.Path)
	switch {
	case serve == nil:
		h.notFound(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		h.writeJSON(w, http.StatusMethodNotAllowed, problem{
			Error: fmt.Sprintf("%.20q is not allowed here: every path can be read, with GET or HEAD, and none can be changed", r.Method),
			Paths: h.paths(),
		})
	case r.ContentLength > maxBody:
		w.Header().Set("Connection", "close")
		h.writeJSON(w, http.StatusRequestEntityTooLarge, problem{Error: fmt.Sprintf("a request may have %d bytes, none are needed", maxBody)})
	default:
		serve(w, r)
	}
}

// find returns what serves a path, nil if there is nothing.
func (h *handler) find(path string) http.HandlerFunc {
	for _, e := range h.existing() {
		if path == e.path || e.below() && strings.HasPrefix(path, e.path) {
			return e.serve
		}
	}
	return nil
}

// existing returns the endpoints that exist now.
func (h *handler) existing() []endpoint {
	existing := make([]endpoint, 0, len(h.endpoints))
	for _, e := range h.endpoints {
		if e.exists == nil || e.exists() {
			existing = append(existing, e)
		}
	}
	return existing
}

func (h *handler) paths() []string {
	existing := h.existing()
	paths := make([]string, len(existing))
	for i, e := range existing {
		paths[i] = e.path
	}
	return paths
}

func (h *handler) notFound(w http.ResponseWriter, r *http.Request) {
	h.writeJSON(w, http.StatusNotFound, problem{Error: fmt.Sprintf("there is no %.100q", r.URL.Path), Paths: h.paths()})
}

func (h *handler) serveIndex(w http.ResponseWriter, _ *http.Request) {
	type item struct {
		Path  string `json:"path"`
		About string `json:"about"`
	}
	index := struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Paths   []item `json:"paths"`
	}{Name: "foo-sidecar", Version: h.opts.Version}
	for _, e := range h.existing() {
		index.Paths = append(index.Paths, item{e.path, e.about})
	}
	h.writeJSON(w, http.StatusOK, index)
}

func (h *handler) serveHealth(w http.ResponseWriter, _ *http.Request) {
	live := h.opts.Live()
	code, status := http.StatusOK, "ok"
	if live.Reason != "" {
		code, status = http.StatusServiceUnavailable, "failed"
	}
	h.writeJSON(w, code, struct {
		Status  string `json:"status"`
		Version string `json:"version"`
		Live
	}{status, h.opts.Version, live})
}

func (h *handler) serveStatus(w http.ResponseWriter, _ *http.Request) {
	s := h.opts.Status()
	code := http.StatusOK
	if len(s.Reasons) > 0 {
		code = http.StatusServiceUnavailable
	}
	h.writeJSON(w, code, s.Document(h.opts.Version))
}

func (h *handler) serveStats(w http.ResponseWriter, _ *http.Request) {
	line, err := h.opts.Stats()
	if err != nil {
		h.opts.Log.Error(err, "the statistics can't be written")
		h.writeJSON(w, http.StatusInternalServerError, problem{Error: "the statistics can't be written: " + err.Error()})
		return
	}
	writeLine(w, http.StatusOK, line)
}

func (h *handler) serveMetrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if h.opts.Stats != nil && prefersJSON(r.Header) {
		h.serveStats(w, r)
		return
	}
	h.opts.Metrics.ServeHTTP(w, r)
}

func (h *handler) serveConfig(w http.ResponseWriter, _ *http.Request) {
	h.writeJSON(w, http.StatusOK, h.opts.Config())
}

func (h *handler) serveRecent(w http.ResponseWriter, _ *http.Request) {
	h.writeJSON(w, http.StatusOK, h.opts.Recent())
}

// catch ends a request whose source panicked, and that request only.
func (h *handler) catch(w *answer, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p) // how a handler asks for the connection to be closed
	}
	h.bugs.log(h.opts.Log, fmt.Errorf("panic: %v", p), r, debug.Stack())
	if w.begun {
		// The client must not take half an answer for a whole one.
		panic(http.ErrAbortHandler)
	}
	h.writeJSON(w, http.StatusInternalServerError, problem{Error: "the sidecar has a bug here, see its log"})
}

// answer remembers whether anything of the answer has been written.
type answer struct {
	http.ResponseWriter
	begun bool
}

func (w *answer) WriteHeader(code int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(code)
}

func (w *answer) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// Unwrap lets profiles and streams set their deadlines, which are the
// connection's.
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// bugLines is how many panics are logged in a minute.
const bugLines = 5

// bugs logs panics. Whoever can make one can make many, so in each minute only
// the first few are logged, and of the others the number.
type bugs struct {
	mu         sync.Mutex // guards the fields below
	since      time.Time  // when the minute began
	lines      int
	suppressed int64
}

func (b *bugs) log(log logr.Logger, err error, r *http.Request, stack []byte) {
	b.mu.Lock()
	if now := time.Now(); now.Sub(b.since) >= time.Minute {
		b.since, b.lines = now, 0
	}
	tell := b.lines < bugLines
	suppressed := b.suppressed
	if tell {
		b.lines++
		b.suppressed = 0
	} else {
		b.suppressed++
	}
	b.mu.Unlock()
	if tell {
		log.Error(err, "BUG: an admin request failed",
			"method", r.Method, "path", r.URL.Path, "suppressed", suppressed, "stack", string(stack))
	}
}
