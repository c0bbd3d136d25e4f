package checkpoint

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Window is how far back the moving windows look. Buckets that ended earlier
// are worth nothing.
const Window = 10 * time.Second

// Limits of a valid state. They are far beyond what a sidecar can count, and
// low enough for sums not to overflow.
const (
	// MaxBuckets is the number of buckets that one listener may have.
	MaxBuckets = 4096
	// MaxTotal is the largest value of a counter.
	MaxTotal = 1 << 62
	// MaxBucketCount is the largest number of requests, or of answers, of a bucket.
	MaxBucketCount = 1 << 40
)

// latest is the last second that a state may speak of. The limit keeps times
// within what can be calculated with and written as JSON.
var latest = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).Unix()

// State is what is saved. Times are kept to the millisecond.
type State struct {
	// SavedAt is when the state was true. It is never zero in a state that was
	// loaded.
	SavedAt time.Time `json:"savedAt"`
	// Boot identifies the process that saved the state, and Sequence orders the
	// states: it grows with each one, across restarts as well. Both are set by
	// the Keeper.
	Boot     string `json:"boot"`
	Sequence uint64 `json:"sequence"`
	// Restarts is how many processes have gone on from a state of this line
	// before. It is set by the Keeper.
	Restarts int64 `json:"restarts"`
	// Totals are the counters of each listener, by the names of the listener and
	// the counter.
	Totals map[string]map[string]int64 `json:"totals,omitempty"`
	// Windows are the moving windows of each listener, by its name.
	Windows map[string][]Bucket `json:"windows,omitempty"`
}

// IsZero reports whether there is no state at all.
func (s State) IsZero() bool { return s.SavedAt.IsZero() }

// Bucket is what passed in a short span of time.
type Bucket struct {
	Start             time.Time
	Width             time.Duration
	Requests, Answers int64
}

// End is the moment at which the bucket ends, and is no longer part of it.
func (b Bucket) End() time.Time { return b.Start.Add(b.Width) }

// MarshalJSON writes a bucket as [start, width, requests, answers], with the
// start in milliseconds since 1970 and the width in milliseconds: a busy window
// has a thousand of them and is written every second.
func (b Bucket) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%d,%d,%d,%d]",
		b.Start.UnixMilli(), b.Width.Milliseconds(), b.Requests, b.Answers), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (b *Bucket) UnmarshalJSON(data []byte) error {
	var n []int64
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	if len(n) != 4 {
		return fmt.Errorf("a bucket has %d numbers, want 4: start, width, requests, answers", len(n))
	}
	if width := n[1]; width < 1 || width > Window.Milliseconds() {
		return fmt.Errorf("a bucket is %d ms wide, want 1 to %d", width, Window.Milliseconds())
	}
	*b = Bucket{
		Start:    time.UnixMilli(n[0]).UTC(),
		Width:    time.Duration(n[1]) * time.Millisecond,
		Requests: n[2],
		Answers:  n[3],
	}
	return nil
}

// validate says what is wrong with a state that came from outside, or that is
// about to be written.
func (s State) validate() error {
	if !sane(s.SavedAt) {
		return fmt.Errorf("saved at %d s since 1970, which is no time to be true", s.SavedAt.Unix())
	}
	if s.Restarts < 0 {
		return fmt.Errorf("%d restarts", s.Restarts)
	}
	for listener, counters := range s.Totals {
		for name, n := range counters {
			if n < 0 || n > MaxTotal {
				return fmt.Errorf("counter %q of listener %q is %d, want 0 to %d", name, listener, n, int64(MaxTotal))
			}
		}
	}
	for listener, buckets := range s.Windows {
		if len(buckets) > MaxBuckets {
			return fmt.Errorf("listener %q has %d buckets, want %d at most", listener, len(buckets), MaxBuckets)
		}
		for _, b := range buckets {
			if err := b.validate(); err != nil {
				return fmt.Errorf("window of listener %q: %w", listener, err)
			}
		}
	}
	return nil
}

func (b Bucket) validate() error {
	if !sane(b.Start) {
		return fmt.Errorf("a bucket starts %d s after 1970", b.Start.Unix())
	}
	if b.Width < time.Millisecond || b.Width > Window {
		return fmt.Errorf("a bucket is %v wide, want 1ms to %v", b.Width, Window)
	}
	for _, n := range []int64{b.Requests, b.Answers} {
		if n < 0 || n > MaxBucketCount {
			return fmt.Errorf("a bucket counts %d, want 0 to %d", n, int64(MaxBucketCount))
		}
	}
	return nil
}

// sane reports whether t is within the years that can be calculated with. The
// first moment of 1970 is: it is what a machine without a clock starts with.
func sane(t time.Time) bool { return t.Unix() >= 0 && t.Unix() < latest }

// young returns the buckets that matter to a window that ends at now.
func young(windows map[string][]Bucket, now time.Time) map[string][]Bucket {
	oldest := now.Add(-Window)
	kept := make(map[string][]Bucket)
	for listener, buckets := range windows {
		buckets = slices.DeleteFunc(slices.Clone(buckets), func(b Bucket) bool {
			return !b.End().After(oldest) || b.Start.After(now)
		})
		if len(buckets) > 0 {
			kept[listener] = buckets
		}
	}
	return kept
}

// sameContent reports whether a and b would restore the same at now, whenever
// and by whomever they were saved.
func sameContent(a, b State, now time.Time) bool {
	return maps.EqualFunc(a.Totals, b.Totals, maps.Equal) &&
		maps.EqualFunc(young(a.Windows, now), young(b.Windows, now), func(a, b []Bucket) bool {
			return slices.EqualFunc(a, b, Bucket.equal)
		})
}

// equal compares what is kept of a bucket.
func (b Bucket) equal(o Bucket) bool {
	return b.Start.UnixMilli() == o.Start.UnixMilli() &&
		b.Width == o.Width && b.Requests == o.Requests && b.Answers == o.Answers
}
