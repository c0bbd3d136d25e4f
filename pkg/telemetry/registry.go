package telemetry

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// Options configures a Registry.
type Options struct {
	// Now is the monotonic clock. It must be the one that stamps the batches
	// which the recorders observe. Nil means a clock that starts now.
	Now func() time.Duration
	// Wall is the wall clock. Nil means time.Now.
	Wall func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = newClock()
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	return o
}

// newClock returns a monotonic clock that starts at zero.
func newClock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// Registry holds the recorders of all listeners, past and present. Use
// [NewRegistry]. It is safe for concurrent use.
type Registry struct {
	now     func() time.Duration
	wall    func() time.Time
	started time.Duration

	mu        sync.Mutex // guards the map and its values; taken before the lock of a shard
	listeners map[string]*listener
}

type listener struct {
	recorder *Recorder
	restored proxy.Counts
	retired  bool // not in the configuration
}

// NewRegistry returns a Registry without listeners. The uptime that it reports
// starts now.
func NewRegistry(o Options) *Registry {
	o = o.withDefaults()
	return &Registry{
		now: o.Now, wall: o.Wall, started: o.Now(),
		listeners: make(map[string]*listener),
	}
}

// Listener returns the recorder of the listener with the given name. One that
// was there before, in this process or in a checkpoint, goes on.
func (r *Registry) Listener(name string) *Recorder {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.listener(name)
	l.retired = false
	l.recorder.begin(r.now())
	return l.recorder
}

// Retain says which listeners the configuration has. The others are retired:
// they are not shown by name any more but stay part of what is shown of all,
// and sessions that still drain go on counting.
func (r *Registry) Retain(names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, l := range r.listeners {
		l.retired = !slices.Contains(names, name)
	}
}

// Restore adds what a checkpoint says of a listener: totals as of [Totals], and
// the buckets of a [Traffic]. Requests and connections that were not finished
// when the checkpoint was written have ended with the process that wrote it.
// A listener that is only in the checkpoint is a retired one. On error nothing
// is restored.
func (r *Registry) Restore(name string, totals map[string]int64, buckets []Bucket) error {
	restored, err := FromTotals(totals)
	if err != nil {
		return fmt.Errorf("restore listener %s: %w", name, err)
	}
	endWithProcess(&restored)

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listeners[name] == nil {
		r.listener(name).retired = true
	}
	l := r.listeners[name]
	l.restored.Add(&restored)
	l.recorder.restore(r.now(), r.wall(), buckets)
	return nil
}

// listener returns the listener with the given name, which it adds if need be.
// r.mu must be held.
func (r *Registry) listener(name string) *listener {
	l := r.listeners[name]
	if l == nil {
		l = &listener{recorder: newRecorder()}
		r.listeners[name] = l
	}
	return l
}

// Snapshot returns what is known now. The counts of each listener are of one
// moment. The caller adds what this package cannot know: Version, Upstreams,
// Config, Checkpoint, Recovered, Spans and LogLines, and of each [Traffic], All
// included, OldestRequest and Exemplars.
func (r *Registry) Snapshot() Snapshot { return r.snapshot(false) }

// Checkpoint is Snapshot with the Buckets of each listener.
func (r *Registry) Checkpoint() Snapshot { return r.snapshot(true) }

func (r *Registry) snapshot(buckets bool) Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := slices.Sorted(maps.Keys(r.listeners))
	traffic := make([]Traffic, len(names))
	windows := make([]Window, len(names))
	for i, name := range names {
		t, l := &traffic[i], r.listeners[name]
		t.Name, t.Restored = name, l.restored
		l.recorder.read(&t.Counts, &t.Latency, &windows[i])
	}

	// The clock is read after all counts, so that no event lies behind the
	// windows' end.
	now, wall := r.now(), r.wall().UTC()
	s := Snapshot{Time: wall, Uptime: now - r.started}
	var window Window
	for i, name := range names {
		t := &traffic[i]
		t.Rates = windows[i].Rates(now)
		if buckets {
			t.Buckets = windows[i].Buckets(now, wall)
		}
		window.merge(&windows[i])
		s.All.Counts.Add(&t.Counts)
		s.All.Restored.Add(&t.Restored)
		s.All.Latency.Add(&t.Latency)
		if r.listeners[name].retired {
			s.Retired = append(s.Retired, *t)
		} else {
			s.Listeners = append(s.Listeners, *t)
		}
	}
	s.All.Rates = window.Rates(now)
	return s
}
