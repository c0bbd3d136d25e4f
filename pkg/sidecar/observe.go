package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/foo-protocol/foo-sidecar/config"
	"github.com/foo-protocol/foo-sidecar/pkg/admin"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry/inspect"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry/otlp"
)

// flushTime bounds how long a collector may take for the last spans and
// metrics. A native sidecar has two seconds between its two signals when the
// pod's grace period is used up.
const flushTime = time.Second

// observation is what is seen of the traffic beyond counts, and where it is
// sent.
type observation struct {
	inspector *inspect.Inspector
	history   *telemetry.History
	gatherer  prometheus.Gatherer
	sessions  atomic.Uint64 // the ID of the last one
	spans     otlp.Counters

	inspected context.CancelFunc // ends the inspector, which is done when ended is closed
	ended     chan struct{}

	mu     sync.Mutex // guards the fields below; nothing blocks under it
	tracer *otlp.Tracer
	traced tracerConfig // what tracer was made for
	pusher *otlp.Pusher
	pushed pusherConfig // what pusher was made for
}

// tracerConfig and pusherConfig are all that a tracer and a pusher depend on. A
// zero one wants none.
type tracerConfig struct {
	wanted bool
	otlp   config.OTLP
}

type pusherConfig struct {
	wanted   bool
	otlp     config.OTLP
	interval time.Duration
}

// observationPlan is the senders that a change needs anew.
type observationPlan struct {
	traced    tracerConfig
	newTracer bool
	tracer    *otlp.Tracer // nil if there is to be none
	pushed    pusherConfig
	newPusher bool
	pusher    *otlp.Pusher
}

// newObservation makes what observes, which is not asked for anything yet.
func (s *sidecar) newObservation() {
	o := &s.observation
	o.history = telemetry.NewHistory(s.snapshot)
	o.gatherer = telemetry.NewGatherer(s.snapshot)
	o.inspector = inspect.New(inspect.Options{
		Now:       s.now,
		P99:       o.history.P99,
		Data:      func(line []byte) string { return foo.Data(string(line)) },
		Header:    foo.Header,
		AccessLog: s.log.WithName("access"),
		Log:       s.log.WithName("protocol"),
	})
}

// startInspector starts what looks at pairs; stopObservation ends it.
func (s *sidecar) startInspector(ctx context.Context) {
	o := &s.observation
	inspecting, end := context.WithCancel(ctx)
	o.inspected, o.ended = end, make(chan struct{})
	s.group.Go(func() error {
		defer close(o.ended)
		o.inspector.Run(inspecting)
		return nil
	})
}

// observer returns whom the sessions of a listener report to.
func (s *sidecar) observer(listener string) func(proxy.SessionInfo) proxy.Observer {
	recorder := s.registry.Listener(listener)
	return func(info proxy.SessionInfo) proxy.Observer {
		return s.observation.inspector.Session(listener, info, recorder.Observer())
	}
}

// getenv returns a variable of the environment that the configuration is read
// from as well. (OpenTelemetry's SDK reads the process's own.)
func (s *sidecar) getenv(name string) string {
	if s.options.Config.Env == nil {
		return os.Getenv(name)
	}
	value, _ := s.options.Config.Env(name)
	return value
}

// planObservation makes the senders that differ from those that run.
func (s *sidecar) planObservation(ctx context.Context, t config.Telemetry) *observationPlan {
	o := &s.observation
	o.mu.Lock()
	traced, pushed := o.traced, o.pushed
	o.mu.Unlock()
	p := new(observationPlan)
	if otlp.Wanted(string(t.Traces.Exporter), t.OTLP.Endpoint, s.getenv) {
		p.traced = tracerConfig{true, t.OTLP}
	}
	if otlp.PushWanted(t.Metrics.Push, s.getenv) {
		p.pushed = pusherConfig{true, t.OTLP, time.Duration(t.Metrics.Interval)}
	}
	options := otlp.Options{
		Endpoint: t.OTLP.Endpoint,
		Protocol: string(t.OTLP.Protocol),
		Version:  s.options.Version,
		Log:      s.log.WithName("otlp"),
		Counters: &o.spans,
	}
	// They end by their Shutdown, so that the last spans still get out. What keeps
	// one from being made are variables of OpenTelemetry, which may be there for
	// others in the pod: traffic goes on without it.
	ctx = context.WithoutCancel(ctx)
	var err error
	if p.newTracer = p.traced != traced; p.newTracer && p.traced.wanted {
		if p.tracer, err = otlp.NewTracer(ctx, options); err != nil {
			s.log.Error(err, "going on without sending spans")
		}
	}
	if p.newPusher = p.pushed != pushed; p.newPusher && p.pushed.wanted {
		if p.pusher, err = otlp.NewPusher(ctx, options, o.gatherer, p.pushed.interval); err != nil {
			s.log.Error(err, "going on without sending metrics")
		}
	}
	return p
}

// setObservation observes as a change wants it.
func (s *sidecar) setObservation(c *change) {
	o, p := &s.observation, c.observation
	o.mu.Lock()
	var oldTracer *otlp.Tracer
	var oldPusher *otlp.Pusher
	if p.newTracer {
		oldTracer = o.tracer
		o.tracer, o.traced = p.tracer, p.traced
	}
	if p.newPusher {
		oldPusher = o.pusher
		o.pusher, o.pushed = p.pusher, p.pushed
	}
	tracer := o.tracer
	o.mu.Unlock()

	pairs := c.config.Telemetry.Pairs
	settings := inspect.Settings{
		Ratio:       pairs.Ratio,
		PerSecond:   pairs.PerSecond,
		ShowPayload: pairs.Payload == config.PayloadShow,
		AccessLog:   c.config.Log.Access,
	}
	switch slow, p99, ok := pairs.Slow.Threshold(); {
	case ok:
		settings.Slow = slow
	case !p99:
		settings.Slow = proxy.NeverSlow
	}
	if tracer != nil { // or the interface would hold a nil pointer
		settings.Tracer = tracer
	}
	o.inspector.Configure(settings)
	s.group.Go(func() error { s.endSenders(oldTracer, oldPusher); return nil })
}

// endSenders lets a tracer and a pusher send what they have, each unless it is
// nil.
func (s *sidecar) endSenders(tracer *otlp.Tracer, pusher *otlp.Pusher) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	var ending sync.WaitGroup
	end := func(what string, shutdown func(context.Context) error) {
		ending.Go(func() {
			if err := shutdown(ctx); err != nil {
				s.log.Error(err, "cannot send the last telemetry", "what", what)
			}
		})
	}
	if tracer != nil {
		end("spans", tracer.Shutdown)
	}
	if pusher != nil {
		end("metrics", pusher.Shutdown)
	}
	ending.Wait()
}

// stopObservation sends what was seen, and ends.
func (s *sidecar) stopObservation() {
	o := &s.observation
	o.inspected()
	<-o.ended
	o.mu.Lock()
	tracer, pusher := o.tracer, o.pusher
	o.tracer, o.pusher = nil, nil
	o.mu.Unlock()
	s.endSenders(tracer, pusher)
}

// addTo completes a snapshot with what was observed.
func (o *observation) addTo(s *telemetry.Snapshot) {
	s.Spans = o.inspector.Stats()
	sent := o.spans.Stats()
	s.Spans.Exported = sent.Exported
	s.Spans.Dropped.Queue += sent.DroppedQueue
	s.Spans.Dropped.Export = sent.DroppedExport
	exemplars := o.inspector.Exemplars()
	for i := range s.Listeners {
		s.Listeners[i].Exemplars = exemplars[s.Listeners[i].Name]
	}
}

// propagation says what sessions do with trace contexts.
func (s *sidecar) propagation(t config.Telemetry) (proxy.Carrier, proxy.Propagation) {
	c := t.Traces.Context
	p := proxy.Propagation{Extract: c.Extract, Strip: c.Strip}
	// A context of a span that nobody makes would lead nowhere.
	p.Inject = c.Inject && otlp.Wanted(string(t.Traces.Exporter), t.OTLP.Endpoint, s.getenv)
	if p == (proxy.Propagation{}) {
		return nil, p
	}
	if c.Pattern == "" {
		return carrier{}, p
	}
	return carrier{regexp.MustCompile(c.Pattern)}, p // it was checked with the configuration
}

// carrier is how requests of the Foo protocol carry a trace context.
type carrier struct{ pattern *regexp.Regexp }

// Find implements [proxy.Carrier].
func (c carrier) Find(head []byte) proxy.Carried {
	return proxy.Carried(foo.FindContext(head, c.pattern))
}

// Insert implements [proxy.Carrier].
func (c carrier) Insert(dst, head []byte, context protocol.TraceContext) []byte {
	return foo.InsertContext(dst, head, context)
}

// tap lets somebody watch pairs.
func (s *sidecar) tap(ctx context.Context, q admin.TapQuery) (<-chan []byte, error) {
	lines, err := s.observation.inspector.Tap(ctx, inspect.Filter(q))
	if errors.Is(err, inspect.ErrTooManyWatchers) {
		return nil, fmt.Errorf("%w: %w", admin.ErrTooMany, err)
	}
	return lines, err
}

// events makes the document of the status page.
func (s *sidecar) events(first bool) ([]byte, error) {
	points := s.observation.history.Points()
	if !first {
		// More than the newest, because this and the history don't tick in step. The
		// page knows which ones it has.
		points = points[max(len(points)-3, 0):]
	}
	document, err := json.Marshal(struct {
		Stats   telemetry.Stats   `json:"stats"`
		Status  any               `json:"status"`
		Recent  inspect.Recent    `json:"recent"`
		History []telemetry.Point `json:"history"`
		Bounds  []float64         `json:"bounds"`
	}{
		s.snapshot().Stats(), s.status().Document(s.options.Version), s.observation.inspector.Recent(), points, telemetry.Bounds(),
	})
	if err != nil {
		return nil, fmt.Errorf("encode the status page's document: %w", err)
	}
	return document, nil
}
