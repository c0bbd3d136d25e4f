package proxy

import (
	"math/rand/v2"
	"time"
)

// Backoff is a pause that doubles from attempt to attempt.
type Backoff struct {
	// Initial is the pause before the second attempt. Zero means 100 ms.
	Initial time.Duration
	// Max is the longest pause. Zero means 5 s.
	Max time.Duration
	// Jitter returns a number in [0, 1), by which each pause is shortened by up
	// to half, so that sessions that were lost together do not come back
	// together. Nil means a random one.
	Jitter func() float64
}

// pause returns the pause before another attempt after that many failed.
func (b Backoff) pause(failed int) time.Duration {
	initial, limit, jitter := b.Initial, b.Max, b.Jitter
	if initial <= 0 {
		initial = 100 * time.Millisecond
	}
	if limit <= 0 {
		limit = 5 * time.Second
	}
	if jitter == nil {
		jitter = rand.Float64
	}
	pause := limit
	if doublings := failed - 1; doublings < 30 && initial<<doublings > 0 {
		pause = min(limit, initial<<doublings)
	}
	return pause - time.Duration(jitter()*float64(pause)/2)
}
