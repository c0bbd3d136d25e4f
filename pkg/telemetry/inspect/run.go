package inspect

import (
	"context"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// tickInterval is how often the rolling p99 is looked up, ended connections are
// closed, and watchers are told what they did not see.
const tickInterval = time.Second

// Run makes records of the pairs that sessions report, until ctx is done. Then
// it handles what is queued, tells the tracer the end of all connections, ends
// all taps, and returns. Sessions may go on, but nothing of them is looked at
// any more. It must be called once.
func (i *Inspector) Run(ctx context.Context) {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		select {
		case it := <-i.queue:
			i.handle(&it)
		case <-ticker.C:
			i.tick()
		case <-ctx.Done():
			i.finish()
			return
		}
	}
}

func (i *Inspector) tick() {
	p99 := i.options.P99()
	i.mu.Lock()
	changed := i.settings.Load().Slow == 0 && aboveP99(p99) != aboveP99(i.p99)
	if i.p99 = p99; changed {
		i.want()
	}
	i.mu.Unlock()
	i.closeEnded()
	i.tellOmitted()
}

// finish handles what is left and ends everything.
func (i *Inspector) finish() {
	i.mu.Lock()
	i.stopped = true
	i.interest.Store(nil)
	i.mu.Unlock()

	i.handleQueued() // nothing is added any more
	i.closeEnded()
	i.traceMu.Lock()
	i.tracing.replace(nil, i.options.Wall())
	i.traceMu.Unlock()
	i.tellOmitted()
	for _, w := range i.watching() {
		w.close()
	}
}

// handleQueued handles what is in the queue now.
func (i *Inspector) handleQueued() {
	for range len(i.queue) {
		it := <-i.queue
		i.handle(&it)
	}
}

// closeEnded tells the tracer which connections have ended. What they were used
// for was queued before, so it is handled first.
func (i *Inspector) closeEnded() {
	i.traceMu.Lock()
	ended := i.tracing.ended()
	i.traceMu.Unlock()
	if len(ended) == 0 {
		return
	}
	i.handleQueued()
	i.traceMu.Lock()
	defer i.traceMu.Unlock()
	for _, c := range ended {
		i.tracing.close(c, i.wall(time.Duration(c.ended.Load())))
	}
}

// wall returns the wall-clock time of a moment of the monotonic clock.
func (i *Inspector) wall(at time.Duration) time.Time {
	return i.options.Wall().Add(at - i.options.Now()).UTC()
}

// handle makes a record of one item.
func (i *Inspector) handle(it *item) {
	if it.violation != nil {
		i.violated(it)
		return
	}
	p := &it.pair
	request, answer := p.Request, p.Answer
	p.Request, p.Answer = nil, nil // not for the tracer
	start := i.wall(p.Start)
	r := it.record(start)
	if it.stands > 0 {
		r.AdjustedCount = it.stands
		i.trace(it, r, start)
		i.logPair(r)
	}
	if i.settings.Load().ShowPayload {
		r.Request, r.Answer = i.payload(request), i.payload(answer)
	}
	if it.stands > 0 {
		i.recorder.pair(p, *r)
	}
	i.show(p, r)
}

// trace makes the span of a pair, if there are spans.
func (i *Inspector) trace(it *item, r *Record, start time.Time) {
	i.traceMu.Lock()
	defer i.traceMu.Unlock()
	t := &i.tracing
	if t.tracer == nil {
		return
	}
	var link *Link
	if c := it.connection; c != nil {
		if c.link == nil {
			c.link = &Link{Since: i.wall(c.since), Server: r.Server, Peer: r.Peer, Client: r.Client}
			t.linked[c] = struct{}{}
		}
		link = c.link
	}
	p := &it.pair
	end := start.Add(p.End - p.Start)
	span := t.tracer.Pair(p, r, start, end, link)
	if !span.Valid() { // the next one stands for it
		i.mu.Lock()
		i.owed[it.class] += it.stands
		i.mu.Unlock()
		r.AdjustedCount = 0
		return
	}
	r.TraceID, r.SpanID = hexID(span.TraceID[:]), hexID(span.SpanID[:])
	i.recorder.exemplify(it.session.listener, p, telemetry.Exemplar{
		Value: p.End - p.Start, Time: end, TraceID: r.TraceID, SpanID: r.SpanID,
	})
}

// logPair writes the line of the access log, if there is one. It never has a
// payload.
func (i *Inspector) logPair(r *Record) {
	if i.settings.Load().AccessLog {
		i.options.AccessLog.Info("pair", r.keysAndValues()...)
	}
}

// violated notes a violation.
func (i *Inspector) violated(it *item) {
	v, s := it.violation, it.session
	r := ViolationRecord{
		Time:     i.wall(v.at),
		Listener: s.listener, Session: s.info.ID, Client: address(s.info.Client),
		Side: v.Side.String(), Kind: v.Kind.String(), Offset: v.Offset, Size: v.Size,
		Raw: quote(v.Raw),
	}
	i.recorder.violation(v.Kind, keptViolation{r, quote(i.options.Header(v.Raw))})
	i.options.Log.V(1).Info("protocol violated", "listener", r.Listener, "session", r.Session,
		"client", r.Client, "side", r.Side, "kind", r.Kind, "offset", r.Offset, "size", r.Size)
}
