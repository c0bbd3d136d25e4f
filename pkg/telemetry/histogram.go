package telemetry

import (
	"math"
	"math/bits"
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

// classicOf maps a slot to the classic bucket of the slot's lower end. No slot
// holds two bounds, so what is above that bucket's bound is in the next one.
var classicOf = func() (of [numSlots]uint8) {
	bucket := uint8(0)
	for slot := range of {
		for slotStart(slot) > uint64(classicBounds[bucket]) {
			bucket++
		}
		of[slot] = bucket
	}
	return of
}()

// Histogram counts durations. It knows every one of them with a relative error
// of at most 1/64 (1.6 %), from 1 ns to 73 minutes; what is longer counts among
// those of 73 minutes, what is negative as zero. Count, Sum, Max and the buckets
// that Prometheus is shown are exact.
//
// The zero value is empty and ready to use. A Histogram takes 9.7 KiB, whatever
// it holds, and may be copied. It is not safe for concurrent use.
type Histogram struct {
	slots   [numSlots]int64
	classic [len(classicBounds)]int64
	count   int64
	max     time.Duration
	// The sum in nanoseconds has 128 bits: 64 would be used up within a few
	// months where thousands of requests are always outstanding.
	sumHigh, sumLow uint64
}

// Observe counts one duration. It does not allocate.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	slot := slotOf(uint64(d))
	h.slots[slot]++
	bucket := classicOf[slot]
	if d > classicBounds[bucket] {
		bucket++
	}
	h.classic[bucket]++
	h.count++
	h.max = max(h.max, d)
	h.addSum(0, uint64(d))
}

// Add adds what o holds to h.
func (h *Histogram) Add(o *Histogram) {
	if o.count == 0 {
		return
	}
	for i, n := range &o.slots {
		h.slots[i] += n
	}
	for i, n := range o.classic {
		h.classic[i] += n
	}
	h.count += o.count
	h.max = max(h.max, o.max)
	h.addSum(o.sumHigh, o.sumLow)
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
// value stands for its slot, so it is within 1/64 of the exact one, and it is
// never above Max. A q outside 0..1 counts as the nearer end, and Quantile(1)
// is Max exactly. An empty histogram has only zeros.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := int64(math.Ceil(min(max(q, 0), 1) * float64(h.count)))
	if rank >= h.count {
		return h.max
	}
	seen := int64(0)
	for slot, n := range &h.slots {
		seen += n
		if n > 0 && seen >= rank {
			return min(slotMiddle(slot), h.max)
		}
	}
	return h.max
}

// cumulative returns the classic buckets as Prometheus wants them: by upper
// bound in seconds, each with everything that does not exceed it. "+Inf" is
// left out, it is the count.
func (h *Histogram) cumulative() map[float64]uint64 {
	buckets := make(map[float64]uint64, len(h.classic)-1)
	seen := uint64(0)
	for i, n := range h.classic[:len(h.classic)-1] {
		seen += uint64(n)
		buckets[classicBounds[i].Seconds()] = seen
	}
	return buckets
}

// slotOf returns the slot that a number of nanoseconds falls into.
func slotOf(ns uint64) int {
	ns = min(ns, 1<<maxBits-1)
	shift := max(bits.Len64(ns)-subBits-1, 0)
	return shift<<subBits + int(ns>>shift)
}

// slotStart returns the least number of nanoseconds that falls into a slot.
func slotStart(slot int) uint64 {
	shift := slotShift(slot)
	return uint64(slot-shift<<subBits) << shift
}

// slotMiddle returns the duration that stands for all in a slot.
func slotMiddle(slot int) time.Duration {
	return time.Duration(slotStart(slot) + 1<<slotShift(slot)>>1)
}

// slotShift returns the binary logarithm of a slot's width.
func slotShift(slot int) int { return max(slot>>subBits-1, 0) }
