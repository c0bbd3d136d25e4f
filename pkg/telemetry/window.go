package telemetry

import (
	"iter"
	"time"
)

// bucketWidth is the granularity of a window: what happened in the same
// bucketWidth cannot be told apart.
const bucketWidth = 10 * time.Millisecond

// ringSize is the number of buckets, a power of two. It is a little more than
// the longest window needs, so that a reader whose time is slightly older than
// the newest event still finds all of its window.
const ringSize = 1024

// The windows in buckets.
const (
	shortWindow = int64(time.Second / bucketWidth)
	longWindow  = int64(10 * time.Second / bucketWidth)
)

// origin is added to every time, so that the restored buckets of an earlier
// process, which are older than this one's clock, have positive ticks as well.
const origin = 1000 * time.Hour

// Rates are messages per second over moving windows of 1 s and 10 s.
type Rates struct {
	Requests1s, Requests10s float64
	Answers1s, Answers10s   float64
	// Coverage1s and Coverage10s are the shares of the windows, from 0 to 1, in
	// which somebody was there to count. Soon after a start the rates are too low
	// by what is missing.
	Coverage1s, Coverage10s float64
}

// Bucket is what happened in a short stretch of time.
type Bucket struct {
	// Start is the wall-clock time at which the stretch began.
	Start time.Time
	// Width is its length. [Window.Restore] spreads the messages of a wide
	// bucket evenly and takes less than 10 ms, so also zero, as 10 ms.
	Width time.Duration
	// Requests and Answers are the messages that passed.
	Requests, Answers int64
}

// Window remembers when requests and answers passed in the last ten seconds,
// in a ring of 10 ms buckets. It does nothing by itself: time is what its
// methods are told.
//
// The windows are true moving ones: three requests in the last ten seconds are
// 0.3 a second, no matter how they lie. An event that is 10 s old is out. As
// events are known to 10 ms, one that is older than 9.99 s may be out already.
//
// The zero value is empty and ready to use. A Window takes 24 KiB. It is not
// safe for concurrent use.
type Window struct {
	ring [ringSize]bucket
	// since is the tick in which the counting began, zero if it has not.
	since int64
	// before is what an earlier process is known to have seen.
	before stretch
}

// stretch is the ticks from first up to last. The zero stretch is empty.
type stretch struct{ first, last int64 }

// with returns the stretch that covers o as well.
func (s stretch) with(o stretch) stretch {
	switch {
	case s == stretch{}:
		return o
	case o == stretch{}:
		return s
	}
	return stretch{min(s.first, o.first), max(s.last, o.last)}
}

// begin says that everything is counted from now on. Only the first call counts.
func (w *Window) begin(now time.Duration) {
	if w.since == 0 {
		w.since = tickOf(now)
	}
}

// bucket counts what happened in one tick: a stretch of bucketWidth, numbered
// since origin. A bucket whose tick has left the ring is overwritten when its
// place is needed, and until then it is not looked at.
type bucket struct {
	tick              int64
	requests, answers int64
}

// Add counts messages that passed at the given time. Times may come out of
// order: each goes into the bucket where it belongs, and one that is older than
// the ring is dropped.
func (w *Window) Add(at time.Duration, requests, answers int64) {
	if requests != 0 || answers != 0 {
		w.add(bucket{tickOf(at), requests, answers})
	}
}

func (w *Window) add(n bucket) {
	b := &w.ring[n.tick%ringSize]
	switch {
	case b.tick < n.tick:
		*b = n
	case b.tick == n.tick:
		b.requests += n.requests
		b.answers += n.answers
	}
}

// merge adds what o holds to w.
func (w *Window) merge(o *Window) {
	for _, b := range &o.ring {
		w.add(b)
	}
	if w.since == 0 || o.since != 0 && o.since < w.since {
		w.since = o.since
	}
	w.before = w.before.with(o.before)
}

// recent returns the buckets of the long window that ends now, oldest first.
func (w *Window) recent(now time.Duration) iter.Seq[bucket] {
	return func(yield func(bucket) bool) {
		newest := tickOf(now)
		for tick := newest - longWindow + 1; tick <= newest; tick++ {
			if b := w.ring[tick%ringSize]; b.tick == tick && !yield(b) {
				return
			}
		}
	}
}

// Rates returns the rates of the windows that end now.
func (w *Window) Rates(now time.Duration) Rates {
	var short, long bucket
	newest := tickOf(now)
	for b := range w.recent(now) {
		long.requests += b.requests
		long.answers += b.answers
		if newest-b.tick < shortWindow {
			short.requests += b.requests
			short.answers += b.answers
		}
	}
	return Rates{
		Requests1s: float64(short.requests), Requests10s: float64(long.requests) / 10,
		Answers1s: float64(short.answers), Answers10s: float64(long.answers) / 10,
		Coverage1s: w.coverage(newest, shortWindow), Coverage10s: w.coverage(newest, longWindow),
	}
}

// coverage returns the share of the given number of ticks up to newest in which
// this process was counting, or an earlier one.
func (w *Window) coverage(newest, ticks int64) float64 {
	oldest, since := newest-ticks+1, w.since
	if since == 0 {
		since = newest + 1
	}
	seen := max(newest-max(since, oldest)+1, 0)
	seen += max(min(w.before.last, since-1, newest)-max(w.before.first, oldest)+1, 0)
	return float64(seen) / float64(ticks)
}

// Buckets returns what the window that ends now holds, oldest first. The wall
// clock's time of now is given so that the buckets outlive the process.
func (w *Window) Buckets(now time.Duration, wall time.Time) []Bucket {
	buckets := make([]Bucket, 0, longWindow)
	for b := range w.recent(now) {
		start := time.Duration(b.tick)*bucketWidth - origin
		buckets = append(buckets, Bucket{
			Start: wall.Add(start - now), Width: bucketWidth,
			Requests: b.requests, Answers: b.answers,
		})
	}
	return buckets
}

// Restore adds buckets that [Window.Buckets] returned earlier, maybe in another
// process. What has left the window meanwhile, and what lies in the future
// because the wall clock was set back, is dropped. From the first to the last of
// the others somebody was counting; the time from there on is not covered.
func (w *Window) Restore(now time.Duration, wall time.Time, buckets []Bucket) {
	for _, b := range buckets {
		age := wall.Sub(b.Start)
		if age < 0 || age >= origin {
			continue
		}
		parts := min(max(int64(b.Width/bucketWidth), 1), longWindow)
		for i, start := int64(0), tickOf(now-age); i < parts && start+i <= tickOf(now); i++ {
			w.add(bucket{start + i, share(b.Requests, i, parts), share(b.Answers, i, parts)})
			w.before = w.before.with(stretch{start + i, start + i})
		}
	}
}

// share returns the i-th of the parts of n, which differ by one at most.
func share(n, i, parts int64) int64 {
	if i < n%parts {
		return n/parts + 1
	}
	return n / parts
}

// tickOf returns the number of the bucket that a time belongs to.
func tickOf(at time.Duration) int64 { return int64((at + origin) / bucketWidth) }
