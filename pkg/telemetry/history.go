package telemetry

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// The history has a point for each second of five minutes, and knows percentiles
// of the last ten seconds.
const (
	historyStep   = time.Second
	historyPoints = 300
	historyRecent = 10
)

// Point is what happened in one second, all listeners together. Its JSON is what
// the status page draws.
type Point struct {
	// When the second ended.
	Time time.Time `json:"time"`
	// Requests of clients and answers of upstreams, per second.
	RequestRate  float64 `json:"request_rate"`
	ResponseRate float64 `json:"response_rate"`
	// Requests per second that were refused, by the upstream or by the sidecar, or
	// not answered.
	Failed float64 `json:"failed"`
	// Requests that waited for an answer, and connections of clients, at its end.
	InFlight    int64 `json:"in_flight"`
	Connections int64 `json:"connections"`
	// Percentiles in seconds of the pairs that ended in it, zero if none did.
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	// How many of them fell into each classic bucket; the last is the one above
	// the last of [Bounds].
	Buckets []int64 `json:"buckets"`
}

// History remembers the last five minutes, second by second. Use [NewHistory]. It
// is safe for concurrent use.
type History struct {
	snapshot func() Snapshot
	p99      atomic.Int64 // nanoseconds

	// Only Run uses these: what was there at the last snapshot, and the latencies
	// at the last historyRecent of them, in a ring in which the oldest is next.
	last    mark
	earlier [historyRecent]Histogram
	next    int

	mu     sync.Mutex // guards points; not held while a snapshot is taken
	points []Point    // oldest first
}

// mark is what a point needs of the snapshot before.
type mark struct {
	uptime                    time.Duration
	requests, answers, failed int64
}

// NewHistory returns a History of what snapshot tells. It is empty until
// [History.Run] has run for a second.
func NewHistory(snapshot func() Snapshot) *History { return &History{snapshot: snapshot} }

// Run adds a point each second, until ctx ends.
func (h *History) Run(ctx context.Context) {
	ticker := time.NewTicker(historyStep)
	defer ticker.Stop()
	h.begin(h.snapshot())
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			h.add(h.snapshot())
		}
	}
}

// Points returns the points, oldest first. They must not be changed.
func (h *History) Points() []Point {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.points)
}

// P99 returns the 99th percentile of the pairs of the last ten seconds, zero if
// there were none. It costs next to nothing.
func (h *History) P99() time.Duration { return time.Duration(h.p99.Load()) }

// begin notes where the first second starts.
func (h *History) begin(s Snapshot) {
	h.last = markOf(&s)
	for i := range h.earlier {
		h.earlier[i] = s.All.Latency
	}
}

// add adds what happened since the last snapshot.
func (h *History) add(s Snapshot) {
	now := markOf(&s)
	seconds := (now.uptime - h.last.uptime).Seconds()
	if seconds <= 0 {
		return // nothing can have happened
	}
	oldest, newest := &h.earlier[h.next], &h.earlier[(h.next+historyRecent-1)%historyRecent]
	latency := s.All.Latency.since(newest)
	p := Point{
		Time:         s.Time,
		RequestRate:  float64(now.requests-h.last.requests) / seconds,
		ResponseRate: float64(now.answers-h.last.answers) / seconds,
		Failed:       float64(now.failed-h.last.failed) / seconds,
		InFlight:     s.All.Counts.InFlight(),
		Connections:  s.All.Counts.Sessions(),
		P50:          latency.Quantile(0.5).Seconds(),
		P90:          latency.Quantile(0.9).Seconds(),
		P99:          latency.Quantile(0.99).Seconds(),
		Buckets:      latency.buckets(classicBounds[:]),
	}
	latency = s.All.Latency.since(oldest)
	h.p99.Store(int64(latency.Quantile(0.99)))
	*oldest, h.next = s.All.Latency, (h.next+1)%historyRecent
	h.last = now

	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.points) == historyPoints {
		h.points = slices.Delete(h.points, 0, 1)
	}
	h.points = append(h.points, p)
}

func markOf(s *Snapshot) mark {
	c := &s.All.Counts
	failed := c.Naked + c.UnansweredTotal()
	for r, n := range c.Refused {
		if proxy.Refusal(r).EndsRequest() {
			failed += n
		}
	}
	return mark{s.Uptime, c.ClientRequests(), c.Answers(), failed}
}
