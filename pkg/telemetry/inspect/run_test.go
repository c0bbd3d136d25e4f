package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"regexp"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// run runs an inspector until stop is called, which waits for it.
func run(i *Inspector) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { i.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

func TestASpanHasTheTimesAndTheConnectionOfItsPair(t *testing.T) {
	tracer := new(fakeTracer)
	i := New(options())
	i.Configure(traced(tracer))
	o := newSession(i)
	b := batch(o, failure())
	b.Upstream = newConnection(2 * time.Second)
	o.Observe(b)
	i.handleQueued()

	got := tracer.spans[0]
	if want := began.Add(10*time.Second - time.Millisecond); !got.start.Equal(want) || !got.end.Equal(want.Add(time.Millisecond)) {
		t.Errorf("the span is from %s to %s, want a millisecond from %s", got.start, got.end, want)
	}
	want := &Link{Since: began.Add(2 * time.Second), Server: "foo.example:8001", Peer: "10.0.0.9:8001", Client: "10.0.0.7:41000"}
	if diff := cmp.Diff(want, got.link); diff != "" {
		t.Errorf("link (-want +got):\n%s", diff)
	}
}

func TestAConnectionHasOneLinkThatIsClosedAfterItsPairs(t *testing.T) {
	tracer := new(fakeTracer)
	i := New(options())
	i.Configure(traced(tracer))
	o := newSession(i)
	first := newConnection(time.Second)
	send := func(c *proxy.Connection, pairs ...proxy.Pair) {
		b := batch(o, pairs...)
		b.Upstream = c
		o.Observe(b)
	}
	send(first) // unused so far
	send(first, failure())
	send(first, failure())
	i.tick()
	if len(tracer.spans) != 0 || len(tracer.closed) != 0 {
		t.Fatal("something happened before its time")
	}
	i.handleQueued()
	first.Ended = 9999500 * time.Microsecond
	lost := pair(proxy.OutcomeRefused, proxy.WhyFailed) // came before the end
	send(first, lost)
	between := lost // came after it
	between.Start = first.Ended
	send(first, between)
	second := newConnection(10 * time.Second)
	send(second, failure())
	i.tick()
	i.handleQueued()

	link := tracer.spans[0].link
	for k, want := range []*Link{link, link, link, nil} {
		if got := tracer.spans[k].link; got != want {
			t.Errorf("pair %d has link %p, want %p", k, got, want)
		}
	}
	if next := tracer.spans[4].link; next == nil || next == link {
		t.Error("a pair of the next connection has no link of its own")
	}
	if got := tracer.spans[3].record; got.Server != "" || got.Peer != "" {
		t.Errorf("a pair without a connection has server %q and peer %q", got.Server, got.Peer)
	}
	want := []closed{{link, began.Add(first.Ended)}}
	if diff := cmp.Diff(want, tracer.closed, cmp.AllowUnexported(closed{})); diff != "" {
		t.Errorf("closed links (-want +got):\n%s", diff)
	}
}

func TestTheEndOfASessionEndsItsConnection(t *testing.T) {
	tracer := new(fakeTracer)
	i := New(options())
	i.Configure(traced(tracer))
	o := newSession(i)
	b := batch(o, failure())
	b.Upstream = newConnection(time.Second)
	o.Observe(b)
	i.handleQueued()
	over := &proxy.Batch{At: 10 * time.Second, Upstream: b.Upstream}
	over.Closed[proxy.ClosedByClient]++
	o.Observe(over)
	i.tick()
	if len(tracer.closed) != 1 {
		t.Errorf("%d links were closed, want 1", len(tracer.closed))
	}
}

func TestRunHandlesWhatIsQueuedBeforeItReturns(t *testing.T) {
	tracer := new(fakeTracer)
	i := New(options())
	i.Configure(traced(tracer))
	o := newSession(i)
	for range 1000 {
		b := batch(o, failure())
		b.Upstream = newConnection(time.Second)
		o.Observe(b)
	}
	lines, err := i.Tap(t.Context(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	i.Run(ctx)
	tracer.end()
	if len(tracer.spans) != 1000 || len(tracer.closed) != 1000 {
		t.Errorf("%d spans and %d ends of connections, want 1000 each", len(tracer.spans), len(tracer.closed))
	}
	if _, ok := <-lines; ok {
		t.Error("the tap goes on")
	}
	if o.Interest() != nil {
		t.Error("sessions are still asked for pairs")
	}
	o.Observe(batch(o, failure()))
	i.Configure(traced(new(fakeTracer)))
	if o.Interest() != nil || len(i.queue) != 0 {
		t.Error("something is queued that nobody will handle")
	}
	if _, err := i.Tap(t.Context(), Filter{}); err == nil {
		t.Error("a tap began after the end")
	}
}

func TestAReplacedTracerIsToldOfTheEndAndNotUsedAgain(t *testing.T) {
	first, second := &fakeTracer{first: make(chan struct{})}, &fakeTracer{first: make(chan struct{})}
	i := New(options())
	stop := run(i)
	defer stop()
	i.Configure(traced(first))
	o := newSession(i)
	connection := newConnection(time.Second)
	var sending sync.WaitGroup
	done := make(chan struct{})
	sending.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				b := batch(o, failure())
				b.Upstream = connection
				o.Observe(b)
			}
		}
	})
	<-first.first
	i.Configure(traced(second))
	first.end()
	<-second.first
	close(done)
	sending.Wait()
	stop()
	if len(first.closed) != 1 || len(second.closed) != 1 {
		t.Errorf("%d and %d links were closed, want one of each tracer", len(first.closed), len(second.closed))
	}
	if first.spans[0].link == second.spans[0].link {
		t.Error("both tracers share a link, and so its handle")
	}
}

func TestTheAccessLogHasALineForEachPairThatIsChosen(t *testing.T) {
	var out bytes.Buffer
	log, err := telemetry.NewLogger(telemetry.LogOptions{Writer: &out})
	if err != nil {
		t.Fatal(err)
	}
	opts := options()
	opts.AccessLog = log.Logger
	i := New(opts)
	s := traced(new(fakeTracer))
	s.AccessLog = true
	i.Configure(s)
	o := newSession(i)
	p := failure()
	p.Outcome, p.Refusal = proxy.OutcomeRefused, proxy.RefusedLost
	p.RequestSize, p.Retries, p.Wait = math.MaxInt64, 2, time.Second
	b := batch(o, p, pair(proxy.OutcomeAck, proxy.WhyTapped))
	b.Upstream = newConnection(0)
	o.Observe(b)
	i.handleQueued()

	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("not one line of JSON: %q: %v", out.String(), err)
	}
	for _, id := range []string{"trace_id", "span_id"} {
		if !regexp.MustCompile("^[0-9a-f]{16,32}$").MatchString(got[id].(string)) {
			t.Errorf("%s is %v", id, got[id])
		}
		delete(got, id)
	}
	delete(got, "ts")
	want := map[string]any{
		"level": "info", "msg": "pair", "time": "2026-03-01T12:00:09.999000000Z",
		"listener": "default", "session": 1.0, "seq": 5.0, "outcome": "nak_local", "reason": "lost", "nak_by": "sidecar",
		"duration_seconds": 0.001, "wait_seconds": 1.0, "retries": 2.0,
		"request_bytes": float64(math.MaxInt64), "answer_bytes": 0.0,
		"client": "10.0.0.7:41000", "server": "foo.example:8001", "peer": "10.0.0.9:8001",
		"why": []any{"failed"}, "adjusted_count": 1.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

func TestTheFlightRecorderKeepsTheLastOnes(t *testing.T) {
	i := New(options())
	o := newSession(i)
	for seq := range int64(200) {
		p := pair(proxy.OutcomeUnanswered, proxy.WhyFailed|proxy.WhySlow)
		p.ID = seq
		b := batch(o, p)
		b.At += time.Duration(seq) * time.Second
		o.Observe(b)
	}
	i.handleQueued()
	r := i.Recent()
	for name, pairs := range map[string][]Record{"failed": r.Failed, "slow": r.Slow} {
		if len(pairs) != keptPairs || pairs[0].Seq != 199 || pairs[keptPairs-1].Seq != 200-keptPairs {
			t.Errorf("%s has %d pairs from %d on, want %d from 199 down", name, len(pairs), pairs[0].Seq, keptPairs)
		}
	}
	if got := r.Failed[0]; got.Reason != "client_left" || got.NakBy != "" {
		t.Errorf("reason is %q by %q, want client_left by nobody", got.Reason, got.NakBy)
	}
}

func TestAnEmptyFlightRecorderHasListsInItsJSON(t *testing.T) {
	doc, err := json.Marshal(New(options()).Recent())
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"failed":[],"slow":[],"violations":[],"violations_left_out":0,"payload":false}`; string(doc) != want {
		t.Errorf("got %s, want %s", doc, want)
	}
}

func TestExemplarsAreTheTracesOfRefusedAndSlowPairs(t *testing.T) {
	tracer := new(fakeTracer)
	i := New(options())
	s := traced(tracer)
	s.Ratio = 1
	i.Configure(s)
	o := newSession(i)
	slow := pair(proxy.OutcomeAck, proxy.WhySlow)
	slow.Start -= time.Second
	o.Observe(batch(o, failure(), slow, pair(proxy.OutcomeAck, proxy.WhySampled)))
	tracer.full = true // so that the ones before stay
	i.handleQueued()
	if got := i.Exemplars(); len(got) != 0 {
		t.Fatalf("got exemplars %+v of spans that there are not", got)
	}
	tracer.full = false
	o.Observe(batch(o, failure(), slow, pair(proxy.OutcomeAck, proxy.WhySampled)))
	i.handleQueued()
	got := i.Exemplars()["default"]
	if got.Nak == nil || len(got.Nak.TraceID) != 32 || len(got.Nak.SpanID) != 16 {
		t.Errorf("the exemplar of NAKs is %+v", got.Nak)
	}
	var shown []time.Duration
	for _, x := range got.Buckets {
		if x != nil {
			shown = append(shown, x.Value)
		}
	}
	if diff := cmp.Diff([]time.Duration{time.Second + time.Millisecond}, shown); diff != "" {
		t.Errorf("exemplars of durations (-want +got):\n%s", diff)
	}
}

// drain returns all lines until the end of a tap.
func drain(lines <-chan []byte) string {
	var all []byte
	for line := range lines {
		all = append(all, line...)
	}
	return string(all)
}

func TestSettingsAndTapsChangeWhileSessionsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(Options{Data: options().Data})
		stop := run(i)
		var sessions sync.WaitGroup
		done := make(chan struct{})
		for id := range uint64(8) {
			o := i.Session("default", proxy.SessionInfo{ID: id, Client: client}, new(counter))
			sessions.Go(func() { converse(o, done) })
		}
		tracers := []*fakeTracer{new(fakeTracer), new(fakeTracer)}
		for round := range 60 {
			i.Configure(Settings{
				Ratio: float64(round%3) / 2, Slow: time.Duration(round % 2), PerSecond: 1 + round,
				ShowPayload: round%4 < 2, AccessLog: round%5 < 2, Tracer: tracers[round%2],
			})
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := i.Tap(ctx, Filter{Match: regexp.MustCompile("nak")}); err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond) // virtual
			i.Recent()
			i.Stats()
			i.Exemplars()
			cancel()
			synctest.Wait()
			if i.interest.Load().Tap != nil {
				t.Error("a tap left its interest behind")
			}
		}
		close(done)
		sessions.Wait()
		stop()
		if len(tracers[0].spans) == 0 || len(tracers[1].spans) == 0 {
			t.Error("a tracer has no spans")
		}
	})
}

// converse sends batches with hostile contents until done.
func converse(o proxy.Observer, done <-chan struct{}) {
	start := time.Now()
	for {
		select {
		case <-done:
			return
		case <-time.After(10 * time.Millisecond):
		}
		at := time.Since(start)
		b := &proxy.Batch{At: at, Interest: o.Interest(), Upstream: &proxy.Connection{Since: at}}
		for k := range 20 {
			b.Pairs = append(b.Pairs, proxy.Pair{
				ID: math.MinInt64, Outcome: proxy.Outcome(k % 4), Why: proxy.Why(k%31 + 1),
				Start: 0, End: at, RequestSize: math.MaxInt64, AnswerSize: math.MinInt64,
				Request: []byte("\xff\x00 \xed\xa0\x80"), Answer: []byte{},
			})
		}
		b.Violations = []proxy.Violation{{Raw: []byte("\xff\x00"), Size: math.MaxInt64}}
		b.Omitted = 7
		o.Observe(b)
	}
}
