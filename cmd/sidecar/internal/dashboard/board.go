package dashboard

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Sort is the order of the rows.
type Sort string

// The orders. All but the first two begin with the highest.
const (
	SortGiven    Sort = "given" // as on the command line
	SortName     Sort = "name"
	SortRate     Sort = "rate"
	SortLatency  Sort = "p99"
	SortFailed   Sort = "failed"
	SortInFlight Sort = "inflight"
	SortOldest   Sort = "oldest"
)

// Sorts are all orders.
var Sorts = []Sort{SortGiven, SortName, SortRate, SortLatency, SortFailed, SortInFlight, SortOldest}

// String implements pflag.Value.
func (s *Sort) String() string { return string(*s) }

// Type implements pflag.Value.
func (*Sort) Type() string { return "order" }

// Set implements pflag.Value.
func (s *Sort) Set(value string) error {
	if !slices.Contains(Sorts, Sort(value)) {
		return fmt.Errorf("must be one of %s", strings.Join(names(), ", "))
	}
	*s = Sort(value)
	return nil
}

func names() []string {
	names := make([]string, len(Sorts))
	for i, s := range Sorts {
		names[i] = string(s)
	}
	return names
}

// Board is what is known of the sidecars. Use New. It is not safe for
// concurrent use.
type Board struct {
	entries  []*entry // in the order given
	sort     Sort
	reversed bool
	selected *entry
	interval time.Duration
}

// New returns a Board for sidecars with these names, of which there is at least
// one. The interval is only told.
func New(sidecars []string, sort Sort, interval time.Duration) *Board {
	b := &Board{sort: sort, interval: interval}
	for _, name := range sidecars {
		b.entries = append(b.entries, &entry{name: name})
	}
	b.selected = b.entries[0]
	return b
}

// Take notes what a sidecar said. It reports whether that is worth to be shown
// before it is time.
func (b *Board) Take(r Report, now time.Time) (news bool) {
	return b.entries[r.Sidecar].take(r, now)
}

// Complete reports whether each sidecar has been heard of, or failed to be
// reached.
func (b *Board) Complete() bool {
	return !slices.ContainsFunc(b.entries, func(e *entry) bool { return e.last == nil && e.err == nil })
}

// Err returns why sidecars can't be reached, nil if all can.
func (b *Board) Err() error {
	var errs []error
	for _, e := range b.entries {
		if e.err != nil {
			errs = append(errs, e.err)
		}
	}
	return errors.Join(errs...)
}

// NextSort chooses the next order.
func (b *Board) NextSort() {
	b.sort = Sorts[(slices.Index(Sorts, b.sort)+1)%len(Sorts)]
}

// Reverse turns the order round.
func (b *Board) Reverse() { b.reversed = !b.reversed }

// Select moves the selection by some rows.
func (b *Board) Select(rows int) {
	sorted := b.sorted()
	i := slices.Index(sorted, b.selected) + rows
	b.selected = sorted[min(max(i, 0), len(sorted)-1)]
}

// sorted returns the entries in their order. Those that can't be reached have
// no numbers, and come last unless the order has nothing to do with numbers.
func (b *Board) sorted() []*entry {
	var number func(e *entry) float64
	switch b.sort {
	case SortRate:
		number = func(e *entry) float64 { return e.last.Stats.RequestRate1s }
	case SortLatency:
		number = func(e *entry) float64 { _, p99, _ := e.latency(); return p99 }
	case SortFailed:
		number = func(e *entry) float64 { failed, all := e.failed(); return failed / max(all, 1e-9) }
	case SortInFlight:
		number = func(e *entry) float64 { return float64(e.last.Stats.InFlight) }
	case SortOldest:
		number = func(e *entry) float64 { return e.last.Stats.OldestRequestSeconds }
	}
	sorted := slices.Clone(b.entries)
	slices.SortStableFunc(sorted, func(x, y *entry) int {
		switch {
		case b.sort == SortName:
			return cmp.Compare(x.name, y.name)
		case number == nil:
			return 0
		case x.reached() && y.reached():
			return cmp.Compare(number(y), number(x))
		}
		return cmp.Compare(rank(x), rank(y))
	})
	if b.reversed {
		slices.Reverse(sorted)
	}
	return sorted
}

func rank(e *entry) int {
	if e.reached() {
		return 0
	}
	return 1
}

// JSON returns what is known as one line of JSON. The statistics, the status
// and the newest second of each sidecar are as it told them.
func (b *Board) JSON(now time.Time) ([]byte, error) {
	type sidecar struct {
		Address string          `json:"address"`
		Error   string          `json:"error,omitempty"`
		Seen    time.Time       `json:"seen,omitzero"`
		Stats   json.RawMessage `json:"stats,omitempty"`
		Status  json.RawMessage `json:"status,omitempty"`
		Second  json.RawMessage `json:"second,omitempty"`
	}
	doc := struct {
		Time     time.Time `json:"time"`
		Sidecars []sidecar `json:"sidecars"`
	}{Time: now}
	for _, e := range b.sorted() {
		s := sidecar{Address: e.name, Seen: e.seen}
		if e.err != nil {
			s.Error = e.err.Error()
		}
		// Numbers that are not those of now are none.
		if e.reached() {
			s.Stats, s.Status = e.last.raw.Stats, e.last.raw.Status
			if n := len(e.last.raw.History); n > 0 {
				s.Second = e.last.raw.History[n-1]
			}
		}
		doc.Sidecars = append(doc.Sidecars, s)
	}
	line, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write the sidecars as JSON: %w", err)
	}
	return append(line, '\n'), nil
}
