package inspect

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

const (
	// queueSize is how many pairs may wait for the goroutine. Pairs are limited
	// before they are queued, so it has to bridge the moments only in which the
	// goroutine gets no processor.
	queueSize = 2048
	// minP99 is the least rolling p99 that makes a pair slow: where everything is
	// faster than that, nobody asks which pairs were slow.
	minP99 = time.Millisecond
	// violationRate is how many violations of one kind are looked at a second.
	// The first ones of a burst fill the flight recorder.
	violationRate  = 4
	violationBurst = keptViolations
)

// Options configures an Inspector for its life.
type Options struct {
	// Now is the monotonic clock that stamps the batches, Wall the wall clock. Nil
	// means the real ones.
	Now  func() time.Duration
	Wall func() time.Time
	// P99 returns the rolling p99 of all pairs, zero if it is not known. Nil means
	// that it never is.
	P99 func() time.Duration
	// Data returns the payload of the first bytes of a message. Nil means that
	// there is none.
	Data func(line []byte) string
	// Header returns that part of the first bytes of a message, which may be
	// malformed, that is no payload. Nil means that there is none.
	Header func(line []byte) []byte
	// AccessLog gets a line "pair" for each pair, if the settings want that. Its
	// keys are the names of a Record's JSON.
	AccessLog logr.Logger
	// Log is told of violations of the protocol, at V(1).
	Log logr.Logger
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		start := time.Now()
		o.Now = func() time.Duration { return time.Since(start) }
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.P99 == nil {
		o.P99 = func() time.Duration { return 0 }
	}
	if o.Data == nil {
		o.Data = func([]byte) string { return "" }
	}
	if o.Header == nil {
		o.Header = func([]byte) []byte { return nil }
	}
	return o
}

// Settings is what may change at any time.
type Settings struct {
	// Ratio is the share of ordinary pairs that are chosen, from 0 to 1.
	Ratio float64
	// Slow is how long a pair takes at least that is chosen for that.
	// [proxy.NeverSlow] chooses none; zero those above the rolling p99.
	Slow time.Duration
	// PerSecond is how many pairs are chosen at most in a second, and at once; less
	// than one is one. Ordinary ones find room only while half of it is left, slow
	// ones and those of a sampled trace while a quarter is, so that a failed pair
	// always finds room first.
	PerSecond int
	// ShowPayload shows the Data of messages in taps and in the flight recorder.
	ShowPayload bool
	// AccessLog logs the pairs that are chosen.
	AccessLog bool
	// Tracer makes spans of them. Nil makes none.
	Tracer Tracer
}

// ordinary reports whether there is somebody to give ordinary pairs to.
func (s *Settings) ordinary() bool { return s.Tracer != nil || s.AccessLog }

// Inspector chooses pairs and makes records of them. Use [New]. Its methods are
// safe for concurrent use.
type Inspector struct {
	options  Options
	interest atomic.Pointer[proxy.Interest] // nil after the end of Run
	settings atomic.Pointer[Settings]       // written under mu
	queue    chan item
	recorder recorder

	// traceMu guards tracing. It is held while the tracer is called, and taken
	// before mu.
	traceMu sync.Mutex
	tracing tracing

	// mu guards the fields below. Sessions take it for pairs that are wanted, so
	// nothing blocks or takes long under it.
	mu         sync.Mutex
	room       bucket
	owed       [numClasses]float64 // to the next pair of a class
	spans      telemetry.SpanStats
	breaches   [proxy.NumViolations]bucket
	watchers   []*watcher // replaced, never changed
	candidates bucket     // pairs that are looked at for the watchers only
	p99        time.Duration
	stopped    bool
}

// New returns an Inspector that keeps failed pairs for the flight recorder and
// does nothing else until it is configured.
func New(o Options) *Inspector {
	i := &Inspector{
		options: o.withDefaults(),
		queue:   make(chan item, queueSize),
	}
	i.Configure(Settings{Slow: proxy.NeverSlow, PerSecond: 100})
	return i
}

// Configure changes the settings. When it returns, the sessions know, and a
// tracer that was replaced is not used any more.
func (i *Inspector) Configure(s Settings) {
	s.PerSecond = max(s.PerSecond, 1)
	p99 := i.options.P99()
	i.traceMu.Lock()
	defer i.traceMu.Unlock()
	replaced := s.Tracer != i.tracing.tracer
	if replaced {
		i.tracing.replace(s.Tracer, i.options.Wall())
	}

	i.mu.Lock()
	i.settings.Store(&s)
	i.p99 = p99
	if replaced {
		i.owed = [numClasses]float64{} // what the new one has never seen is not its debt
	}
	i.want()
	i.mu.Unlock()
	i.recorder.show(s.ShowPayload)
}

// want tells the sessions what is wanted now. i.mu must be held.
func (i *Inspector) want() {
	if i.stopped {
		return
	}
	s := i.settings.Load()
	wanted := &proxy.Interest{Failed: true, Slow: s.Slow, Tap: union(i.watchers)}
	if s.Slow == 0 {
		wanted.Slow = aboveP99(i.p99)
	}
	if s.ordinary() {
		wanted.Ratio = s.Ratio
	}
	if s.ShowPayload {
		wanted.Capture = proxy.MaxCapture
	}
	i.interest.Store(wanted)
}

// aboveP99 returns how long a pair takes that is slower than all that the p99
// stands for. A histogram knows it to 1/64: where all pairs take nearly the same
// time, a limit within that would make most of them slow.
func aboveP99(p99 time.Duration) time.Duration {
	if p99 <= 0 {
		return proxy.NeverSlow
	}
	return max(p99+p99/64+1, minP99)
}

// Stats returns what became of the pairs that were chosen for spans, as far as
// the inspector knows: what was exported, and what was lost on the way there,
// the tracer has to add.
func (i *Inspector) Stats() telemetry.SpanStats {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.spans
}
