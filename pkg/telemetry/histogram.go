package telemetry

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// The fine slots of a histogram: durations below 64 ns have a slot each, and
// every octave above is cut into subSlots slots of equal width. The last
// octave ends at 2^maxBits ns, which is 73 minutes.
const (
	subBits  = 5
	subSlots = 1 << subBits
	maxBits  = 42
	numSlots = (maxBits - subBits + 1) * subSlots
)

// longest is the longest duration that a histogram tells from longer ones.
const longest = time.Duration(1)<<maxBits - 1

// classicBounds are the upper bounds, inclusive, of the buckets that are shown
// to Prometheus. What is above the last but one falls into "+Inf".
var classicBounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	1 * time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	1 * time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
	math.MaxInt64,
}

// NumBuckets is the number of classic buckets, the one up to "+Inf" included.
const NumBuckets = len(classicBounds)

// Bounds returns the upper bounds of the classic buckets in seconds, inclusive
// and without "+Inf".
func Bounds() []float64 {
	bounds := make([]float64, NumBuckets-1)
	for i := range bounds {
		bounds[i] = classicBounds[i].Seconds()
	}
	return bounds
}

// bucketOf returns the classic bucket that a duration falls into.
func bucketOf(d time.Duration) int {
	bucket, _ := slices.BinarySearch(classicBounds[:], d)
	return bucket
}

// numCells is the number of cells that a histogram counts in: the slots, cut
// wherever a bucket ends, so that one count serves slots and all buckets.
const numCells = numSlots + NumBuckets + numNative

// cellEnds are the upper bounds, inclusive, of the cells. Where two kinds of
// buckets end at the same point there is a cell that nothing falls into.
var cellEnds = func() (ends [numCells]time.Duration) {
	for slot := range numSlots {
		ends[slot] = time.Duration(slotStart(slot+1)) - 1
	}
	copy(ends[numSlots:], classicBounds[:])
	copy(ends[numSlots+NumBuckets:], nativeBounds[:])
	slices.Sort(ends[:])
	return ends
}()

// cells are the cells that a slot is cut into: the first one, and where it and
// the next one end if there are more. No slot holds more than two bounds.
type cells struct {
	first     int
	end, end2 time.Duration
}

// cellsOf maps a slot to its cells.
var cellsOf = func() (of [numSlots]cells) {
	for slot := range of {
		first, _ := slices.BinarySearch(cellEnds[:], time.Duration(slotStart(slot)))
		of[slot] = cells{first, cellEnds[first], cellEnds[min(first+1, numCells-1)]}
	}
	return of
}()

// Histogram counts durations. It knows every one of them with a relative error
// of at most 1/64 (1.6 %), from 1 ns to 73 minutes; what is longer counts among
// those of 73 minutes, what is negative as zero. Count, Sum, Max and the classic
// and native buckets that Prometheus is shown are exact.
//
// The zero value is empty and ready to use. A Histogram takes 12 KiB, whatever it
// holds, and may be copied. It is not safe for concurrent use.
type Histogram struct {
	cells [numCells]int64
	count int64
	max   time.Duration
	// The sum in nanoseconds has 128 bits: 64 would be used up within a few
	// months where thousands of requests are always outstanding.
	sumHigh, sumLow uint64
}

// Observe counts one duration. It does not allocate.
func (h *Histogram) Observe(d time.Duration) {
	one := [...]time.Duration{d}
	h.observe(one[:])
}

// observe counts durations. It keeps to itself until the end what it would
// otherwise have to store for each of them.
func (h *Histogram) observe(all []time.Duration) {
	highest, sumLow, sumHigh := h.max, h.sumLow, h.sumHigh
	var carry uint64
	for _, d := range all {
		d = max(d, 0)
		in := &cellsOf[slotOf(uint64(d))]
		cell := in.first
		if d > in.end {
			cell++
		}
		if d > in.end2 {
			cell++
		}
		h.cells[cell]++
		highest = max(highest, d)
		sumLow, carry = bits.Add64(sumLow, uint64(d), 0)
		sumHigh += carry
	}
	h.count += int64(len(all))
	h.max, h.sumLow, h.sumHigh = highest, sumLow, sumHigh
}

// Add adds what o holds to h.
func (h *Histogram) Add(o *Histogram) {
	if o.count == 0 {
		return
	}
	for i, n := range &o.cells {
		h.cells[i] += n
	}
	h.count += o.count
	h.max = max(h.max, o.max)
	h.addSum(o.sumHigh, o.sumLow)
}

// since returns what h holds beyond o, an earlier copy of it. Of the longest
// duration, which cannot be known, it takes the end of its cell.
func (h *Histogram) since(o *Histogram) Histogram {
	d := Histogram{count: h.count - o.count}
	if d.count == 0 {
		return d
	}
	for i, n := range &h.cells {
		if d.cells[i] = n - o.cells[i]; d.cells[i] > 0 {
			d.max = min(cellEnds[i], h.max)
		}
	}
	var borrow uint64
	d.sumLow, borrow = bits.Sub64(h.sumLow, o.sumLow, 0)
	d.sumHigh = h.sumHigh - o.sumHigh - borrow
	return d
}

func (h *Histogram) addSum(high, low uint64) {
	var carry uint64
	h.sumLow, carry = bits.Add64(h.sumLow, low, 0)
	h.sumHigh += high + carry
}

// Count returns how many durations were observed.
func (h *Histogram) Count() int64 { return h.count }

// Sum returns the sum of all durations, or the longest time.Duration if it does
// not fit into one.
func (h *Histogram) Sum() time.Duration {
	if h.sumHigh > 0 || h.sumLow > math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(h.sumLow)
}

// seconds returns the sum of all durations, however large it is.
func (h *Histogram) seconds() float64 {
	return (math.Ldexp(float64(h.sumHigh), 64) + float64(h.sumLow)) / float64(time.Second)
}

// Max returns the longest duration exactly, zero if there was none.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns the duration that the share q of all durations does not
// exceed: Quantile(0.99) is the 99th percentile by the nearest-rank rule. The
// value stands for its cell, so it is within 1/64 of the exact one, and it is
// never above Max. A q outside 0..1 counts as the nearer end, and Quantile(1)
// is Max exactly. An empty histogram has only zeros.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := int64(math.Ceil(min(max(q, 0), 1) * float64(h.count)))
	if rank >= h.count {
		return h.max
	}
	seen := int64(0)
	for cell, n := range &h.cells {
		seen += n
		if n > 0 && seen >= rank {
			return min(cellMiddle(cell), h.max)
		}
	}
	return h.max
}

// buckets returns how many durations fell into each of the buckets with the
// given upper bounds, which must be ends of cells.
func (h *Histogram) buckets(bounds []time.Duration) []int64 {
	counts := make([]int64, len(bounds))
	bucket := 0
	for cell, n := range &h.cells {
		for cellEnds[cell] > bounds[bucket] {
			bucket++
		}
		counts[bucket] += n
	}
	return counts
}

// cumulative returns the classic buckets as Prometheus wants them: by upper
// bound in seconds, each with everything that does not exceed it. "+Inf" is
// left out, it is the count.
func (h *Histogram) cumulative() map[float64]uint64 {
	cumulative := make(map[float64]uint64, NumBuckets-1)
	seen := uint64(0)
	for i, n := range h.buckets(classicBounds[:])[:NumBuckets-1] {
		seen += uint64(n)
		cumulative[classicBounds[i].Seconds()] = seen
	}
	return cumulative
}

// slotOf returns the slot that a number of nanoseconds falls into.
func slotOf(ns uint64) int {
	ns = min(ns, uint64(longest))
	shift := max(bits.Len64(ns)-subBits-1, 0)
	return shift<<subBits + int(ns>>shift)
}

// slotStart returns the least number of nanoseconds that falls into a slot.
func slotStart(slot int) uint64 {
	shift := max(slot>>subBits-1, 0) // the binary logarithm of the slot's width
	return uint64(slot-shift<<subBits) << shift
}

// cellMiddle returns the duration that stands for all in a cell.
func cellMiddle(cell int) time.Duration {
	if cell == 0 || cellEnds[cell] > longest {
		return min(cellEnds[cell], longest)
	}
	first := cellEnds[cell-1] + 1
	return first + (cellEnds[cell]-first+1)/2
}
