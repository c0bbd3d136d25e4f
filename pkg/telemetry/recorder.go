package telemetry

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// maxShards bounds the memory of a recorder. Sessions hold a shard's lock for
// a fraction of a microsecond once a read, so few shards serve many cores.
const maxShards = 8

// Recorder counts what passes through one listener. It is split into shards
// with a lock each, so that sessions on different cores seldom meet.
type Recorder struct {
	shards []*shard
	next   atomic.Uint32 // the session that comes next, modulo the shards
}

var _ proxy.Observer = (*Recorder)(nil)

// shard is what the sessions that were given it have counted together.
type shard struct {
	mu      sync.Mutex // guards the fields below
	counts  proxy.Counts
	latency Histogram
	window  Window
}

func newRecorder() *Recorder {
	procs := uint(min(runtime.GOMAXPROCS(0), maxShards))
	r := &Recorder{shards: make([]*shard, 1<<bits.Len(procs-1))}
	for i := range r.shards {
		r.shards[i] = new(shard)
	}
	return r
}

// Observer returns the observer for one session. Sessions that begin one after
// the other get different shards.
func (r *Recorder) Observer() proxy.Observer {
	return r.shards[r.next.Add(1)%uint32(len(r.shards))]
}

// Observe implements [proxy.Observer], for what belongs to no session. Sessions
// that each use their own [Recorder.Observer] get into each other's way less.
func (r *Recorder) Observe(b *proxy.Batch) { r.shards[0].Observe(b) }

// Interest implements [proxy.Observer]: counting needs no pairs one by one.
func (r *Recorder) Interest() *proxy.Interest { return nil }

// Interest implements [proxy.Observer].
func (s *shard) Interest() *proxy.Interest { return nil }

// Observe implements [proxy.Observer].
func (s *shard) Observe(b *proxy.Batch) {
	s.mu.Lock()
	s.counts.Add(&b.Counts)
	s.latency.observe(b.Latencies)
	s.window.Add(b.At, b.ClientRequests(), b.Answers())
	s.mu.Unlock()
}

// read adds what was counted so far to its arguments. It holds all shards at
// once, so that it sees all of a batch or nothing, and no answer without its
// request.
func (r *Recorder) read(counts *proxy.Counts, latency *Histogram, window *Window) {
	for _, s := range r.shards {
		s.mu.Lock()
	}
	for _, s := range r.shards {
		counts.Add(&s.counts)
		latency.Add(&s.latency)
		window.merge(&s.window)
	}
	for _, s := range r.shards {
		s.mu.Unlock()
	}
}

// begin says since when the recorder is told all that passes.
func (r *Recorder) begin(now time.Duration) {
	s := r.shards[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.window.begin(now)
}

// restore adds the buckets of an earlier process.
func (r *Recorder) restore(now time.Duration, wall time.Time, buckets []Bucket) {
	s := r.shards[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.window.Restore(now, wall, buckets)
}
