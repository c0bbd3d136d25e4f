package telemetry

import (
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// Limited logs errors that may come in storms: the first of a key at once, and
// at the end of each interval the last one that came meanwhile, with the number of
// the others as "suppressed". So every one is counted, also if a storm ends. Use
// [NewLimited]. It is safe for concurrent use.
type Limited struct {
	log      logr.Logger
	interval time.Duration

	mu     sync.Mutex // guards storms; not held while logging
	storms map[string]*storm
}

// storm is what is known of the errors of one key since one was logged.
type storm struct {
	count int64 // of errors
	last  func(more ...any)
}

// NewLimited returns a Limited that logs to log.
func NewLimited(log logr.Logger, interval time.Duration) *Limited {
	return &Limited{log: log, interval: interval, storms: make(map[string]*storm)}
}

// Error logs an error, or remembers it if one with the same key was logged less
// than an interval ago.
func (l *Limited) Error(key string, err error, msg string, keysAndValues ...any) {
	keysAndValues = slices.Clone(keysAndValues) // they may be logged later
	report := func(more ...any) { l.log.Error(err, msg, append(keysAndValues, more...)...) }
	l.mu.Lock()
	s, raging := l.storms[key]
	if raging {
		s.count, s.last = s.count+1, report
	} else {
		l.storms[key] = new(storm)
		l.await(key)
	}
	l.mu.Unlock()
	if !raging {
		report()
	}
}

// await looks after an interval what has become of a storm.
func (l *Limited) await(key string) { time.AfterFunc(l.interval, func() { l.tell(key) }) }

// tell logs what came in the last interval. A storm ends when that is nothing.
func (l *Limited) tell(key string) {
	l.mu.Lock()
	s := l.storms[key]
	if s.count == 0 {
		delete(l.storms, key)
		l.mu.Unlock()
		return
	}
	l.storms[key] = new(storm)
	l.await(key)
	l.mu.Unlock()
	if s.count == 1 {
		s.last()
	} else {
		s.last("suppressed", s.count-1)
	}
}
