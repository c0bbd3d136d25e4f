package load

import (
	"math"
	"sync/atomic"
	"time"
)

// schedule says when the requests of one worker are to be sent. Workers take
// turns: the second of 4 sends the requests 1, 5, 9 and so on of the run.
type schedule struct {
	rate       float64 // requests a second of all workers, zero if they are due at any time
	worker, of int64
	taken      int64 // how many of this worker's requests were taken
}

// at returns when the worker's request number k, from 0, is to be sent.
func (s *schedule) at(k int64) time.Duration {
	return time.Duration(float64(s.worker+k*s.of) / s.rate * float64(time.Second))
}

// due returns how many requests are to be sent by now, at most limit, and if
// there are none, how long it is to the next.
func (s *schedule) due(now time.Duration, limit int) (n int, wait time.Duration) {
	if s.rate == 0 {
		return limit, 0
	}
	for n < limit && s.at(s.taken+int64(n)) <= now {
		n++
	}
	return n, s.at(s.taken) - now
}

// take takes the next request, which is sent now by a sender that could have
// sent it since ready. It returns the time that the request's latency counts
// from, and for how long the sender overslept.
//
// A sender that was held up, by answers that did not come or by a peer that did
// not read, was not ready when the request was due: latency counts from then. A
// sender that was ready waited for nothing but its timer, which often rings up
// to a millisecond late. That is no delay of the peer's.
func (s *schedule) take(now, ready time.Duration) (from, overslept time.Duration) {
	if s.rate == 0 {
		return now, 0
	}
	due := s.at(s.taken)
	s.taken++
	if due < ready {
		return due, 0
	}
	return now, now - due
}

// giveBack puts the last n requests back that were taken.
func (s *schedule) giveBack(n int) { s.taken = max(s.taken-int64(n), 0) }

// quota is how many requests may still be sent.
type quota struct{ left atomic.Int64 }

func newQuota(n int64) *quota {
	q := new(quota)
	q.left.Store(n)
	return q
}

// quotas returns the quota of each worker. In an open loop each has its own
// share, in a closed loop who is faster sends more.
func quotas(o Options) []*quota {
	n, limited := o.planned()
	if !limited {
		n = math.MaxInt64
	}
	quotas := make([]*quota, o.Connections)
	for i := range quotas {
		switch {
		case i > 0 && o.Rate == 0:
			quotas[i] = quotas[0]
		case limited && o.Rate > 0:
			quotas[i] = newQuota((n + int64(o.Connections-1-i)) / int64(o.Connections))
		default:
			quotas[i] = newQuota(n)
		}
	}
	return quotas
}

// take takes up to n requests and returns how many.
func (q *quota) take(n int) int {
	for {
		left := q.left.Load()
		got := min(int64(n), left)
		if q.left.CompareAndSwap(left, left-got) {
			return int(got)
		}
	}
}

func (q *quota) empty() bool { return q.left.Load() == 0 }

// giveBack puts n requests back that were taken and not sent.
func (q *quota) giveBack(n int) { q.left.Add(int64(n)) }
