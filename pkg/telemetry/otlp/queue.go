package otlp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Counters count what became of the spans of pairs. The zero Counters is ready
// to use.
type Counters struct {
	exported, droppedQueue, droppedExport atomic.Int64
}

// Stats is what became of the spans of pairs. Those of connections are not
// counted, so that each pair that was chosen is found in here once, unless it
// still is in the queue.
type Stats struct {
	// Exported were taken by the collector.
	Exported int64
	// DroppedQueue found no room in the queue.
	DroppedQueue int64
	// DroppedExport were not taken by the collector, or came too late.
	DroppedExport int64
}

// Stats returns what became of spans so far.
func (c *Counters) Stats() Stats {
	return Stats{
		Exported:      c.exported.Load(),
		DroppedQueue:  c.droppedQueue.Load(),
		DroppedExport: c.droppedExport.Load(),
	}
}

// spans are numbers of spans.
type spans struct{ pairs, connections int }

func (s spans) sum() int { return s.pairs + s.connections }

// ledger keeps account of each span until it is delivered or lost. It lets in no
// more than the SDK's queue has room for, because the SDK would drop the rest
// and tell nobody.
type ledger struct {
	counters *Counters
	health   *health
	limit    int // of spans that are pending

	mu      sync.Mutex // guards the fields below
	pending spans      // queued or being sent
	closed  bool       // pending ones were given up
}

var (
	errFull = errors.New("the queue of spans is full: the collector is too slow, or there are too many")
	errLate = errors.New("no time was left to send the last spans")
)

// admit reports whether there is room for s, which is one span.
func (l *ledger) admit(s spans) bool {
	l.mu.Lock()
	full := l.pending.sum() >= l.limit
	if !full {
		l.pending.pairs += s.pairs
		l.pending.connections += s.connections
	}
	l.mu.Unlock()
	if full {
		l.counters.droppedQueue.Add(int64(s.pairs))
		l.health.lose(1, errFull)
	}
	return !full
}

// settle notes that spans were delivered, or lost because of err.
func (l *ledger) settle(s spans, err error) {
	l.mu.Lock()
	late := l.closed
	l.pending.pairs -= s.pairs
	l.pending.connections -= s.connections
	l.mu.Unlock()
	switch {
	case late: // counted when they were given up
		return
	case err != nil:
		l.lose(s, err)
	default:
		l.counters.exported.Add(int64(s.pairs))
	}
	l.health.attempted(err == nil)
}

// lose notes the loss of spans that had been admitted.
func (l *ledger) lose(s spans, err error) {
	l.counters.droppedExport.Add(int64(s.pairs))
	l.health.lose(int64(s.sum()), err)
}

// close gives up what is pending, and tells how much that is.
func (l *ledger) close() int {
	l.mu.Lock()
	left := l.pending
	l.closed = true
	l.mu.Unlock()
	if left.sum() > 0 {
		l.lose(left, errLate)
	}
	return left.sum()
}

// spanExporter is an exporter that keeps account.
type spanExporter struct {
	sdktrace.SpanExporter
	ledger *ledger
	// life ends when nothing may take any longer.
	life context.Context
}

// ExportSpans implements [sdktrace.SpanExporter]. It returns no error: the SDK
// would only hand it to the handler of the process.
func (e *spanExporter) ExportSpans(ctx context.Context, batch []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.life, func() { cancel(errLate) })()
	err := e.SpanExporter.ExportSpans(ctx, batch)
	if err != nil {
		err = fmt.Errorf("export %d spans: %w", len(batch), err)
	}
	var s spans
	for _, span := range batch {
		if span.Name() == pairName {
			s.pairs++
		} else {
			s.connections++
		}
	}
	e.ledger.settle(s, err)
	return nil
}

// queueSize is how many spans may be pending.
func queueSize() int {
	if n, err := strconv.Atoi(os.Getenv("OTEL_BSP_MAX_QUEUE_SIZE")); err == nil && n > 0 {
		return n
	}
	return sdktrace.DefaultMaxQueueSize
}
