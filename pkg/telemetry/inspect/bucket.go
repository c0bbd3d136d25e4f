package inspect

import "time"

// bucket limits how often something may happen. The zero bucket is full. Times
// may come slightly out of order.
type bucket struct {
	spent float64 // tokens that are missing
	last  time.Duration
}

// take takes a token, if more than floor remain. The bucket holds burst tokens
// and gets rate a second.
func (b *bucket) take(now time.Duration, rate, burst, floor int) bool {
	if passed := now - b.last; passed > 0 {
		b.spent = max(b.spent-float64(rate)*passed.Seconds(), 0)
		b.last = now
	}
	if b.spent+1 > float64(burst-floor) {
		return false
	}
	b.spent++
	return true
}
