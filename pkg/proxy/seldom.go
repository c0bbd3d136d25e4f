package proxy

import (
	"sync/atomic"
	"time"
)

// seldom tells whether to do what is done at most once a minute. It is safe for
// concurrent use.
type seldom struct{ last, left atomic.Int64 }

// now reports whether this is the time, and how often it was not since the last
// one.
func (s *seldom) now(now time.Duration) (left int64, ok bool) {
	last := s.last.Load()
	if last > 0 && int64(now)-last < int64(time.Minute) || !s.last.CompareAndSwap(last, max(int64(now), 1)) {
		s.left.Add(1)
		return 0, false
	}
	return s.left.Swap(0), true
}
