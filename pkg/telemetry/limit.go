package telemetry

import (
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// Limited logs errors that may come in storms: the first of a key at once, then
// at most one of that key in an interval, with the number of those that were
// left out since as "suppressed". Use [NewLimited]. It is safe for concurrent
// use.
type Limited struct {
	log      logr.Logger
	interval time.Duration
	now      func() time.Duration

	mu   sync.Mutex // guards keys; not held while logging
	keys map[string]*storm
}

// storm is what is known of the errors of one key.
type storm struct {
	last       time.Duration // when one was logged
	suppressed int64         // since then
}

// NewLimited returns a Limited that logs to log. now is the monotonic clock;
// nil means the real one.
func NewLimited(log logr.Logger, interval time.Duration, now func() time.Duration) *Limited {
	if now == nil {
		now = newClock()
	}
	return &Limited{log: log, interval: interval, now: now, keys: make(map[string]*storm)}
}

// Error logs an error, unless one with the same key was logged less than an
// interval ago. Keys are remembered for good, so they should be from a closed
// set, such as the names of listeners.
func (l *Limited) Error(key string, err error, msg string, keysAndValues ...any) {
	suppressed, ok := l.admit(key)
	if !ok {
		return
	}
	if suppressed > 0 {
		keysAndValues = append(slices.Clip(keysAndValues), "suppressed", suppressed)
	}
	l.log.Error(err, msg, keysAndValues...)
}

// admit decides whether an error is logged, and if so tells how many were not
// before it.
func (l *Limited) admit(key string) (suppressed int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	s := l.keys[key]
	if s == nil {
		l.keys[key] = &storm{last: now}
		return 0, true
	}
	if now-s.last < l.interval {
		s.suppressed++
		return 0, false
	}
	suppressed = s.suppressed
	s.last, s.suppressed = now, 0
	return suppressed, true
}
