package admin

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// maxViewers bounds the status pages that are open at a time.
	maxViewers = 32
	// eventInterval is the time between two events.
	eventInterval = time.Second
	// eventBacklog is how many events a viewer may be behind.
	eventBacklog = 4
	// streamPatience bounds how long the client of a stream may take to read what
	// was written to it.
	streamPatience = 10 * time.Second
)

// errTooManyViewers is why a page is turned away.
var errTooManyViewers = errors.New("too many status pages are open")

// broadcast makes the document of the status page once a second, and gives the
// same bytes to all viewers. Without a viewer it does nothing and has no
// goroutine.
type broadcast struct {
	document func(first bool) ([]byte, error)
	failed   func(err error)

	mu      sync.Mutex // guards the fields below
	viewers map[*viewer]struct{}
	first   []byte // the first event of those who come before the next tick, nil if nobody has yet
	round   *round // what serves the viewers, if there are any
	failing bool   // the last document could not be made
}

// round is one run of the goroutine: from the first viewer to the last.
type round struct {
	stop chan struct{} // ends it
	done chan struct{} // closed when it has ended
}

// viewer is one open page.
type viewer struct {
	// events is closed when the viewer is too slow.
	events chan []byte
	round  *round
}

// join adds a viewer, whose first event is there already. Whoever joins must
// leave.
func (b *broadcast) join() (*viewer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.viewers) >= maxViewers {
		return nil, errTooManyViewers
	}
	if b.first == nil {
		// Under the lock, so that many who come at once cost one document.
		b.first = b.event(true)
	}
	if len(b.viewers) == 0 {
		b.viewers = make(map[*viewer]struct{})
		b.round = &round{stop: make(chan struct{}), done: make(chan struct{})}
		go b.run(b.round)
	}
	v := &viewer{events: make(chan []byte, eventBacklog), round: b.round}
	v.events <- b.first
	b.viewers[v] = struct{}{}
	return v, nil
}

// leave removes a viewer. The last one ends the goroutine and waits for it.
func (b *broadcast) leave(v *viewer) {
	b.mu.Lock()
	b.remove(v)
	b.mu.Unlock()
	select {
	case <-v.round.stop:
		<-v.round.done
	default:
	}
}

// remove removes a viewer, if it is there. b.mu must be held.
func (b *broadcast) remove(v *viewer) {
	if _, ok := b.viewers[v]; !ok {
		return
	}
	delete(b.viewers, v)
	if len(b.viewers) == 0 {
		close(b.round.stop)
		b.first = nil
	}
}

// run sends an event each interval, until r is stopped.
func (b *broadcast) run(r *round) {
	defer close(r.done)
	ticker := time.NewTicker(eventInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			b.send(r)
		case <-r.stop:
			return
		}
	}
}

// send makes one event and gives it to all viewers. Who has not taken the last
// few yet is dropped.
func (b *broadcast) send(r *round) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-r.stop:
		return // The viewers that there may be now have a round of their own.
	default:
	}
	b.first = nil
	event := b.event(false)
	for v := range b.viewers {
		select {
		case v.events <- event:
		default:
			close(v.events)
			b.remove(v)
		}
	}
}

// event makes one event. A document that can't be made is an event as well, and
// is told once until it works again. b.mu must be held.
func (b *broadcast) event(first bool) []byte {
	name := "update"
	doc, err := b.make(first)
	if err != nil {
		name, doc = "problem", []byte("the sidecar can't make the data of this page, see its log")
		if !b.failing {
			b.failed(err)
		}
	}
	b.failing = err != nil
	// A newline would end the data.
	doc = bytes.ReplaceAll(bytes.TrimSpace(doc), []byte("\n"), []byte("\ndata: "))
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, doc)
}

// make makes a document. A source that panics must not end the process.
func (b *broadcast) make(first bool) (doc []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("BUG: panic: %v\n%s", p, debug.Stack())
		}
	}()
	return b.document(first)
}

// serveEvents answers with server-sent events until the client leaves, is too
// slow, or the server ends.
func (h *handler) serveEvents(w http.ResponseWriter, r *http.Request) {
	s := h.newStream(w, "text/event-stream")
	if r.Method == http.MethodHead {
		s.begin()
		return
	}
	v, err := h.broadcast.join()
	if err != nil {
		h.tooMany(w, fmt.Sprintf("%v: %d is the limit", err, maxViewers))
		return
	}
	defer h.broadcast.leave(v)
	s.begin()
	for {
		select {
		case event, ok := <-v.events:
			if !ok || !s.write(event) {
				return
			}
		case <-s.end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// stream is an answer without an end.
type stream struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	kind string
	end  <-chan struct{} // closed when the server ends
}

func (h *handler) newStream(w http.ResponseWriter, kind string) *stream {
	return &stream{w: w, rc: http.NewResponseController(w), kind: kind, end: h.ended}
}

// begin sends the headers. The time limits of ordinary answers end here.
func (s *stream) begin() {
	s.w.Header().Set("Content-Type", s.kind)
	// nginx and its relatives would hold back what is not a lot.
	s.w.Header().Set("X-Accel-Buffering", "no")
	// A reading that times out would be taken for the client's end.
	_ = s.rc.SetReadDeadline(time.Time{})
	_ = s.rc.SetWriteDeadline(time.Now().Add(streamPatience))
	s.w.WriteHeader(http.StatusOK)
	_ = s.rc.Flush()
}

// write sends some bytes and reports whether that succeeded.
func (s *stream) write(p []byte) bool {
	// A writer without deadlines, as tests have, is as good.
	_ = s.rc.SetWriteDeadline(time.Now().Add(streamPatience))
	if _, err := s.w.Write(p); err != nil {
		return false
	}
	return s.rc.Flush() == nil
}

// tooMany turns a client away that may come back.
func (h *handler) tooMany(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "5")
	h.writeJSON(w, http.StatusServiceUnavailable, problem{Error: why})
}
