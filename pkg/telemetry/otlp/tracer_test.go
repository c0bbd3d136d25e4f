package otlp

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry/inspect"
)

var (
	began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ended = began.Add(20 * time.Millisecond)
)

// acked returns a pair that was granted, and its record.
func acked() (*proxy.Pair, *inspect.Record) {
	return &proxy.Pair{ID: 7, Outcome: proxy.OutcomeAck}, &inspect.Record{
		Time: began, Listener: "default", Session: 3, Seq: 7, Outcome: "ack", Duration: .02, Wait: .5, Retries: 2,
		RequestBytes: 10, AnswerBytes: 20, Client: "10.0.0.1:5555", Why: []string{"slow", "sampled"}, AdjustedCount: 100,
	}
}

// failing returns a pair that failed, and its record.
func failing(o proxy.Outcome, reason, by string) (*proxy.Pair, *inspect.Record) {
	p, r := acked()
	p.Outcome, r.Outcome, r.Reason, r.NakBy, r.Why = o, o.String(), reason, by, []string{"failed"}
	return p, r
}

func newLink() *inspect.Link {
	return &inspect.Link{Since: began.Add(-time.Hour), Server: "upstream:8001", Peer: "10.0.0.9:8001", Client: "10.0.0.1:5555"}
}

// recorder keeps what is exported, also beyond its shutdown.
type recorder struct{ *tracetest.InMemoryExporter }

func (recorder) Shutdown(context.Context) error { return nil }

// tracer returns a Tracer and a function that ends it and returns what it sent,
// by name.
func tracer(t *testing.T) (*Tracer, func() map[string]tracetest.SpanStubs) {
	t.Helper()
	sent := recorder{tracetest.NewInMemoryExporter()}
	tr := newTracer(sent, resource.Empty(), Options{})
	return tr, func() map[string]tracetest.SpanStubs {
		t.Helper()
		if err := tr.Shutdown(t.Context()); err != nil {
			t.Errorf("shut down: %v", err)
		}
		spans := make(map[string]tracetest.SpanStubs)
		for _, s := range sent.GetSpans() {
			spans[s.Name] = append(spans[s.Name], s)
		}
		return spans
	}
}

func attributes(s tracetest.SpanStub) map[string]any {
	all := make(map[string]any)
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value.AsInterface()
	}
	return all
}

func TestSpanOfAPair(t *testing.T) {
	tr, finish := tracer(t)
	p, r := acked()
	link := newLink()
	id := tr.Pair(p, r, began, ended, link)
	tr.Close(link, ended.Add(time.Hour))
	spans := finish()
	if len(spans["foo"]) != 1 || len(spans["foo connection"]) != 1 {
		t.Fatalf("got %v, want one span of the pair and one of its connection", spans)
	}

	pair, connection := spans["foo"][0], spans["foo connection"][0]
	want := map[string]any{
		"rpc.system.name": "foo", "rpc.response.status_code": "ACK",
		"server.address": "upstream", "server.port": int64(8001), "network.peer.address": "10.0.0.9", "network.peer.port": int64(8001),
		"client.address": "10.0.0.1", "client.port": int64(5555),
		"foo.seq": int64(7), "foo.session": int64(3), "foo.listener": "default", "foo.outcome": "ack", "foo.why": []string{"slow", "sampled"},
		"foo.request.size": int64(10), "foo.response.size": int64(20), "foo.wait": .5, "foo.retries": int64(2), "foo.adjusted_count": 100.,
	}
	if diff := cmp.Diff(want, attributes(pair)); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if pair.SpanKind != trace.SpanKindClient || pair.Status.Code != codes.Unset || !pair.StartTime.Equal(began) || !pair.EndTime.Equal(ended) {
		t.Errorf("got %v with status %v from %v to %v", pair.SpanKind, pair.Status, pair.StartTime, pair.EndTime)
	}
	if got := (protocol.TraceContext{TraceID: pair.SpanContext.TraceID(), SpanID: pair.SpanContext.SpanID(), Flags: 1}); got != id || !id.Valid() {
		t.Errorf("the span is %v, and is said to be %v", got, id)
	}
	if pair.Parent.IsValid() {
		t.Errorf("it has the parent %v", pair.Parent)
	}
	if len(pair.Links) != 1 || !pair.Links[0].SpanContext.Equal(connection.SpanContext) {
		t.Errorf("its links are %v, want one to %v", pair.Links, connection.SpanContext)
	}
	if connection.SpanContext.TraceID() == pair.SpanContext.TraceID() || !connection.StartTime.Equal(link.Since) || !connection.EndTime.Equal(ended.Add(time.Hour)) {
		t.Errorf("the connection's span is not one of its own: %+v", connection)
	}
}

func TestSpanOfAFailure(t *testing.T) {
	for name, test := range map[string]struct {
		outcome    proxy.Outcome
		reason, by string
		want       map[string]any
		status     string
	}{
		"refused by the upstream": {proxy.OutcomeNak, "", "upstream", map[string]any{"error.type": "NAK", "rpc.response.status_code": "NAK", "foo.nak_by": "upstream", "foo.response.size": int64(20)}, "refused by the upstream"},
		"refused by the sidecar":  {proxy.OutcomeRefused, "unavailable", "sidecar", map[string]any{"error.type": "unavailable", "rpc.response.status_code": "NAK", "foo.nak_by": "sidecar", "foo.response.size": nil}, "refused by the sidecar: unavailable"},
		"not answered":            {proxy.OutcomeUnanswered, "client_left", "", map[string]any{"error.type": "client_left", "rpc.response.status_code": nil, "foo.nak_by": nil, "foo.response.size": nil}, "no answer: client_left"},
	} {
		t.Run(name, func(t *testing.T) {
			tr, finish := tracer(t)
			p, r := failing(test.outcome, test.reason, test.by)
			tr.Pair(p, r, began, ended, nil)
			span := finish()["foo"][0]
			got, all := make(map[string]any), attributes(span)
			for key := range test.want {
				got[key] = all[key]
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			if span.Status.Code != codes.Error || span.Status.Description != test.status {
				t.Errorf("status %v, want %q", span.Status, test.status)
			}
			if all["server.address"] != nil || len(span.Links) != 0 {
				t.Errorf("a pair without an upstream connection has one: %v %v", all, span.Links)
			}
		})
	}
}

func TestSpanBelongsToTheTraceOfItsRequest(t *testing.T) {
	parent := protocol.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 0}
	for name, test := range map[string]struct{ parent, span protocol.TraceContext }{
		"with a parent":                     {parent: parent},
		"with a parent and an identity":     {parent: parent, span: protocol.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{3}, Flags: 1}},
		"with an identity without a parent": {span: protocol.TraceContext{TraceID: [16]byte{4}, SpanID: [8]byte{5}, Flags: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			tr, finish := tracer(t)
			p, r := acked()
			p.Parent, p.Span = test.parent, test.span
			id := tr.Pair(p, r, began, ended, newLink())
			span := finish()["foo"][0]
			if test.parent.Valid() && (span.Parent.SpanID() != test.parent.SpanID || span.SpanContext.TraceID() != test.parent.TraceID || !span.Parent.IsRemote()) {
				t.Errorf("the span %v has the parent %v, want %v", span.SpanContext, span.Parent, test.parent)
			}
			if test.span.Valid() && (id != test.span || span.SpanContext.SpanID() != test.span.SpanID || span.SpanContext.TraceID() != test.span.TraceID) {
				t.Errorf("the span is %v, said to be %v, want %v", span.SpanContext, id, test.span)
			}
			if !span.SpanContext.IsSampled() {
				t.Error("the span is not sampled")
			}
		})
	}
}

func TestAddressesOfSpans(t *testing.T) {
	for name, test := range map[string]struct {
		link inspect.Link
		want map[string]any
	}{
		"this machine":    {inspect.Link{Server: ":8001", Peer: "[::1]:8001"}, map[string]any{"server.address": "localhost", "server.port": int64(8001), "network.peer.address": "::1"}},
		"a Unix socket":   {inspect.Link{Server: "unix:/run/foo", Peer: "/run/foo", Client: "@"}, map[string]any{"client.address": nil, "server.address": "/run/foo", "server.port": nil, "network.peer.address": "/run/foo", "network.peer.port": nil}},
		"a nameless peer": {inspect.Link{Server: "a:1"}, map[string]any{"server.address": "a", "network.peer.address": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			tr, finish := tracer(t)
			p, r := acked()
			r.Client = test.link.Client
			tr.Pair(p, r, began, ended, &test.link)
			all, got := attributes(finish()["foo"][0]), make(map[string]any)
			for key := range test.want {
				got[key] = all[key]
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPairsOfAConnectionShareItsSpan(t *testing.T) {
	tr, finish := tracer(t)
	p, r := acked()
	link := newLink()
	for range 3 {
		tr.Pair(p, r, began, ended, link)
	}
	other := newLink()
	tr.Pair(p, r, began, ended, other)
	tr.Close(link, ended)
	tr.Close(other, ended)
	tr.Close(newLink(), ended) // which had no span of a pair
	spans := finish()
	if len(spans["foo"]) != 4 || len(spans["foo connection"]) != 2 {
		t.Fatalf("got %d spans of pairs and %d of connections, want 4 and 2", len(spans["foo"]), len(spans["foo connection"]))
	}
	linked := make(map[trace.SpanID]int)
	for _, s := range spans["foo"] {
		linked[s.Links[0].SpanContext.SpanID()]++
	}
	for _, s := range spans["foo connection"] {
		if n := linked[s.SpanContext.SpanID()]; n != 3 && n != 1 {
			t.Errorf("%d pairs link to the connection %v", n, s)
		}
	}
}

// collector is an exporter that a test controls.
type collector struct {
	recorder
	mu    sync.Mutex
	hold  time.Duration // how long it takes
	fault error         // what it answers
}

func (c *collector) become(hold time.Duration, fault error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hold, c.fault = hold, fault
}

func (c *collector) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	c.mu.Lock()
	hold, fault := c.hold, c.fault
	c.mu.Unlock()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(hold):
	}
	if fault != nil {
		return fault
	}
	return c.recorder.ExportSpans(ctx, spans)
}

// sending is a Tracer that sends to a collector.
type sending struct {
	*Tracer
	to  *collector
	log *logbook
}

func newSending() sending {
	s := sending{to: &collector{recorder: recorder{tracetest.NewInMemoryExporter()}}, log: new(logbook)}
	s.Tracer = newTracer(s.to, resource.Empty(), Options{Log: s.log.logger()})
	return s
}

// pairs makes the spans of n pairs.
func (s sending) pairs(n int) {
	p, r := acked()
	for range n {
		s.Pair(p, r, began, ended, nil)
	}
}

const scheduled = 6 * time.Second // until what is queued has been sent

func TestRefusedSpansAreCountedAndLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSending()
		s.to.become(0, errors.New("go away"))
		for range 3 {
			s.pairs(10)
			time.Sleep(scheduled)
		}
		s.log.expect(t, "telemetry is dropped")
		s.to.become(0, nil)
		for range 2 {
			s.pairs(10)
			time.Sleep(scheduled)
		}
		s.log.expect(t, "telemetry is dropped", "telemetry is no longer dropped")
		if got := s.log.lines()[1]["dropped"]; got != 30. {
			t.Errorf("logged that %v were dropped, want 30", got)
		}
		if diff := cmp.Diff(Stats{Exported: 20, DroppedExport: 30}, s.Stats()); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestSpansBeyondTheQueueAreCountedAndLoggedOnce(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
	synctest.Test(t, func(t *testing.T) {
		s := newSending()
		s.to.become(7*time.Second, nil) // longer than it takes for the queue to fill again
		for range 3 {
			s.pairs(150)
			time.Sleep(scheduled)
		}
		s.log.expect(t, "telemetry is dropped")
		s.to.become(0, nil)
		time.Sleep(2 * scheduled)
		for range 2 {
			s.pairs(10)
			time.Sleep(scheduled)
		}
		s.log.expect(t, "telemetry is dropped", "telemetry is no longer dropped")

		stats := s.Stats()
		if stats.DroppedQueue == 0 || stats.DroppedExport != 0 || stats.Exported+stats.DroppedQueue != 470 {
			t.Errorf("got %+v, want a sum of 470", stats)
		}
		if got := int64(len(s.to.GetSpans())); got != stats.Exported {
			t.Errorf("%d were exported, counted are %d", got, stats.Exported)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestShutdownSendsWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSending()
		s.to.become(100*time.Millisecond, nil)
		s.pairs(1000) // two batches
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(Stats{Exported: 1000}, s.Stats()); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		s.log.expect(t)
	})
}

func TestShutdownEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSending()
		s.to.become(time.Hour, nil)
		s.pairs(1000)
		time.Sleep(time.Second) // the first batch is on its way
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Shutdown(ctx)
		if took := time.Since(start); took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it took %v and returned %v", took, err)
		}
		if diff := cmp.Diff(Stats{DroppedExport: 1000}, s.Stats()); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		synctest.Wait()
		s.log.expect(t, "telemetry is dropped")
		if diff := cmp.Diff(Stats{DroppedExport: 1000}, s.Stats()); diff != "" {
			t.Errorf("counts, once all is over (-want +got):\n%s", diff)
		}
	})
}

func TestCountsGoOnWithTheNextTracer(t *testing.T) {
	counters := new(Counters)
	for range 2 {
		tr := newTracer(recorder{tracetest.NewInMemoryExporter()}, resource.Empty(), Options{Counters: counters})
		p, r := acked()
		tr.Pair(p, r, began, ended, nil)
		if err := tr.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := counters.Stats().Exported; got != 2 {
		t.Errorf("%d were exported, want 2", got)
	}
}
