package otlp

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry/inspect"
)

// scope names what made the spans.
const scope = "github.com/foo-protocol/foo-sidecar"

// The names of spans.
const (
	pairName       = system
	connectionName = system + " connection"
)

// Tracer makes spans of pairs and sends them to a collector. It implements
// [inspect.Tracer]. Use [NewTracer].
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	ledger   *ledger
	abort    context.CancelFunc // ends the exporter's life
}

var _ inspect.Tracer = (*Tracer)(nil)

// NewTracer returns a Tracer. It connects when it has something to send, so a
// collector that is absent is no error; see [Options.Log]. The Tracer must be
// shut down.
func NewTracer(ctx context.Context, o Options) (*Tracer, error) {
	target, err := o.target(traces)
	if err != nil {
		return nil, err
	}
	exporter, err := newSpanExporter(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("make an exporter of spans to %s: %w", target.url, err)
	}
	o.Log = o.Log.WithValues("signal", traces.name, "endpoint", target.url)
	return newTracer(exporter, newResource(ctx, o.Version, o.Log), o), nil
}

// newTracer returns a Tracer that sends by an exporter.
func newTracer(exporter sdktrace.SpanExporter, described *resource.Resource, o Options) *Tracer {
	life, abort := context.WithCancel(context.Background())
	size := queueSize()
	l := &ledger{counters: cmp.Or(o.Counters, new(Counters)), health: &health{log: o.Log}, limit: size}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // what comes here was chosen
		sdktrace.WithIDGenerator(ids{}),
		sdktrace.WithResource(described),
		sdktrace.WithBatcher(
			&spanExporter{SpanExporter: exporter, ledger: l, life: life},
			sdktrace.WithMaxQueueSize(size)))
	return &Tracer{
		provider: provider,
		tracer: provider.Tracer(scope,
			trace.WithInstrumentationVersion(o.Version), trace.WithSchemaURL(semconv.SchemaURL)),
		ledger: l,
		abort:  abort,
	}
}

// Stats returns what became of spans so far, from [Options.Counters].
func (t *Tracer) Stats() Stats { return t.ledger.counters.Stats() }

// Pair implements [inspect.Tracer]. The first pair of a link begins the span of
// its connection.
func (t *Tracer) Pair(p *proxy.Pair, r *inspect.Record, start, end time.Time, link *inspect.Link) protocol.TraceContext {
	if !t.ledger.admit(spans{pairs: 1}) {
		return protocol.TraceContext{}
	}
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(start),
		trace.WithAttributes(pairAttributes(p, r, link)...),
	}
	if link != nil {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: t.connection(link).SpanContext()}))
	}
	ctx := context.Background()
	if p.Parent.Valid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, spanContext(p.Parent))
	}
	if p.Span.Valid() {
		ctx = context.WithValue(ctx, idKey{}, p.Span)
	}
	_, span := t.tracer.Start(ctx, pairName, options...)
	if failed(p.Outcome) {
		span.SetStatus(codes.Error, failure(r))
	}
	span.End(trace.WithTimestamp(end))

	c := span.SpanContext()
	return protocol.TraceContext{TraceID: c.TraceID(), SpanID: c.SpanID(), Flags: byte(c.TraceFlags())}
}

// connection returns the span of an upstream connection, which is the Handle of
// the link.
func (t *Tracer) connection(link *inspect.Link) trace.Span {
	if span, ok := link.Handle.(trace.Span); ok {
		return span
	}
	_, span := t.tracer.Start(context.Background(), connectionName,
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(link.Since),
		trace.WithAttributes(linkAttributes(link)...))
	link.Handle = span
	return span
}

// Close implements [inspect.Tracer]. It ends the span of the connection, if one
// began and there is room for it.
func (t *Tracer) Close(link *inspect.Link, at time.Time) {
	if span, ok := link.Handle.(trace.Span); ok && t.ledger.admit(spans{connections: 1}) {
		span.End(trace.WithTimestamp(at))
	}
}

// Shutdown sends what is queued. When ctx is done, what is left is dropped, and
// counted. It may be called once, and no other method but Stats at the same time
// or later.
func (t *Tracer) Shutdown(ctx context.Context) error {
	defer context.AfterFunc(ctx, t.abort)()
	defer t.abort()
	err := t.provider.Shutdown(ctx)
	if n := t.ledger.close(); n > 0 {
		return fmt.Errorf("send the last spans: %d are left: %w", n, err)
	}
	return err
}

// spanContext returns c as the SDK has it.
func spanContext(c protocol.TraceContext) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: c.TraceID, SpanID: c.SpanID, TraceFlags: trace.TraceFlags(c.Flags), Remote: true,
	})
}

// ids makes the identity of spans: the one that the request was given on its way
// to the upstream, which the context holds under idKey, else a random one.
type ids struct{}

type idKey struct{}

// NewIDs implements [sdktrace.IDGenerator].
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if given, ok := ctx.Value(idKey{}).(protocol.TraceContext); ok {
		return given.TraceID, given.SpanID
	}
	var id trace.TraceID
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id, randomSpanID()
}

// NewSpanID implements [sdktrace.IDGenerator].
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if given, ok := ctx.Value(idKey{}).(protocol.TraceContext); ok {
		return given.SpanID
	}
	return randomSpanID()
}

func randomSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
