package load

import (
	"math/bits"
	"time"
)

// table holds the outstanding requests of a connection: their Seq, and the
// time that their latency counts from. It is a hash table with linear probing,
// of fixed size and at most half full, because a map would allocate now and
// then.
type table struct {
	slots []slot
	shift int
	n     int
}

// slot is free if its seq is zero.
type slot struct {
	seq int64
	at  time.Duration
}

// newTable returns a table for at most limit requests.
func newTable(limit int) table {
	width := bits.Len(uint(2*limit - 1))
	return table{slots: make([]slot, 1<<width), shift: 64 - width}
}

// home is the slot where the search for a seq begins. The multiplier is 2^64
// divided by the golden ratio, which spreads consecutive numbers evenly.
func (t *table) home(seq int64) int { return int(uint64(seq) * 0x9e3779b97f4a7c15 >> t.shift) }

func (t *table) next(i int) int { return (i + 1) & (len(t.slots) - 1) }

// put adds a request. Its seq must be above zero and not in the table.
func (t *table) put(seq int64, at time.Duration) {
	i := t.home(seq)
	for t.slots[i].seq != 0 {
		i = t.next(i)
	}
	t.slots[i] = slot{seq, at}
	t.n++
}

// take removes a request and returns its time, false if it is not there.
func (t *table) take(seq int64) (at time.Duration, ok bool) {
	if seq <= 0 {
		return 0, false
	}
	i := t.home(seq)
	for t.slots[i].seq != seq {
		if t.slots[i].seq == 0 {
			return 0, false
		}
		i = t.next(i)
	}
	at = t.slots[i].at
	t.n--
	// Those behind it that would not be found across the hole move up.
	mask := len(t.slots) - 1
	for j := t.next(i); t.slots[j].seq != 0; j = t.next(j) {
		if (j-t.home(t.slots[j].seq))&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = slot{}
	return at, true
}
