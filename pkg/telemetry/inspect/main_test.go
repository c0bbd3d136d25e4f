package inspect

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// began is the wall-clock time of the zero of the tests' monotonic clock.
var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// options are those of an inspector whose clocks stand still, at ten seconds.
func options() Options {
	return Options{
		Now:    func() time.Duration { return 10 * time.Second },
		Wall:   func() time.Time { return began.Add(10 * time.Second) },
		Data:   func(line []byte) string { return foo.Data(string(line)) },
		Header: func(line []byte) []byte { return line[:min(len(line), len("REQ 1"))] },
	}
}

// counter counts what a session's next observer is told.
type counter struct {
	mu     sync.Mutex
	counts proxy.Counts
	calls  int
}

func (c *counter) Observe(b *proxy.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Add(&b.Counts)
	c.calls++
}

func (*counter) Interest() *proxy.Interest { return nil }

var client = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 41000}

// newSession returns the observer of session 1 of the listener "default".
func newSession(i *Inspector) proxy.Observer {
	return i.Session("default", proxy.SessionInfo{ID: 1, Client: client}, new(counter))
}

// newConnection returns an upstream connection.
func newConnection(since time.Duration) *proxy.Connection {
	return &proxy.Connection{
		Endpoint: "foo.example:8001", Since: since,
		Remote: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 8001},
	}
}

// pair returns a pair that took a millisecond and ended at the clocks' time.
func pair(outcome proxy.Outcome, why proxy.Why) proxy.Pair {
	end := 10 * time.Second
	return proxy.Pair{ID: 5, Outcome: outcome, Why: why, Start: end - time.Millisecond, End: end}
}

// failure returns a pair that the upstream refused.
func failure() proxy.Pair { return pair(proxy.OutcomeNak, proxy.WhyFailed) }

// batch returns what a session reports of some pairs.
func batch(o proxy.Observer, pairs ...proxy.Pair) *proxy.Batch {
	b := &proxy.Batch{At: 10 * time.Second, Interest: o.Interest(), Pairs: pairs}
	for _, p := range pairs {
		count(b, p.Outcome)
	}
	return b
}

// count counts a pair of the given outcome.
func count(b *proxy.Batch, o proxy.Outcome) {
	switch o {
	case proxy.OutcomeAck:
		b.Acked++
	case proxy.OutcomeNak:
		b.Naked++
	case proxy.OutcomeRefused:
		b.Refused[proxy.RefusedUnavailable]++
	case proxy.OutcomeUnanswered:
		b.Unanswered[proxy.UnansweredClientLeft]++
	}
}

// span is what a fakeTracer was given.
type span struct {
	pair       proxy.Pair
	record     Record
	start, end time.Time
	link       *Link
}

type closed struct {
	link *Link
	at   time.Time
}

// fakeTracer remembers everything.
type fakeTracer struct {
	mu     sync.Mutex
	full   bool
	first  chan struct{} // unless nil, closed by the first span
	spans  []span
	closed []closed
	over   bool // nothing may come any more
}

func (f *fakeTracer) Pair(p *proxy.Pair, r *Record, start, end time.Time, link *Link) protocol.TraceContext {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		panic("Pair after the end")
	}
	if f.full {
		return protocol.TraceContext{}
	}
	f.spans = append(f.spans, span{*p, *r, start, end, link})
	if len(f.spans) == 1 && f.first != nil {
		close(f.first)
	}
	var c protocol.TraceContext
	c.TraceID[15], c.SpanID[7], c.Flags = byte(rand.IntN(255)+1), byte(rand.IntN(255)+1), protocol.FlagSampled
	return c
}

func (f *fakeTracer) Close(link *Link, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		panic("Close after the end")
	}
	f.closed = append(f.closed, closed{link, at})
}

// end forbids further calls.
func (f *fakeTracer) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
}

// traced returns settings with a tracer and room for everything.
func traced(f *fakeTracer) Settings {
	return Settings{Slow: proxy.NeverSlow, PerSecond: 1_000_000, Tracer: f}
}
