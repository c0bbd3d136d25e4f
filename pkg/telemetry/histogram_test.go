package telemetry

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// near reports whether got stands for want within the error of a histogram.
func near(got, want time.Duration) bool {
	want = min(want, longest)
	return (got - want).Abs() <= want/64
}

func TestHistogramKnowsEveryDurationWithinItsError(t *testing.T) {
	for slot := range numSlots {
		first := time.Duration(slotStart(slot))
		last := longest
		if slot+1 < numSlots {
			last = time.Duration(slotStart(slot+1)) - 1
		}
		for _, d := range []time.Duration{first, (first + last) / 2, last} {
			if got := slotOf(uint64(d)); got != slot {
				t.Fatalf("%d ns is in slot %d, want %d", d, got, slot)
			}
			var h Histogram
			h.Observe(d)
			h.Observe(longest) // so that Max does not tell the answer
			if got := h.Quantile(0.5); !near(got, d) {
				t.Fatalf("%d ns is shown as %d ns", d, got)
			}
		}
	}
}

func TestHistogramBoundsForPrometheusAreInclusive(t *testing.T) {
	var h Histogram
	for _, bound := range classicBounds[:len(classicBounds)-1] {
		h.Observe(bound - 1)
		h.Observe(bound)
		h.Observe(bound + 1)
	}
	got := h.cumulative()
	for i, bound := range classicBounds[:len(classicBounds)-1] {
		if want := uint64(3*i + 2); got[bound.Seconds()] != want {
			t.Errorf("le %v: got %d, want %d", bound, got[bound.Seconds()], want)
		}
	}
	if h.Count() != 3*17 || len(got) != 17 {
		t.Errorf("got %d durations in %d buckets, want 51 in 17", h.Count(), len(got))
	}
}

func TestHistogramTakesWhatIsOutOfItsRange(t *testing.T) {
	var h Histogram
	for _, q := range []float64{0, 0.5, 1, math.NaN()} {
		if got := h.Quantile(q); got != 0 {
			t.Errorf("empty: quantile %v is %v, want 0", q, got)
		}
	}
	h.Observe(-time.Second)
	if h.Quantile(0.5) != 0 || h.Max() != 0 || h.Sum() != 0 || h.Count() != 1 {
		t.Errorf("a negative duration does not count as zero: %v, %v, %v", h.Quantile(0.5), h.Max(), h.Sum())
	}
	h.Observe(300 * time.Hour)
	h.Observe(400 * time.Hour)
	if got := h.Quantile(0.5); !near(got, 300*time.Hour) || got < time.Hour {
		t.Errorf("300 h are shown as %v, want about 73 minutes", got)
	}
	if h.Max() != 400*time.Hour || h.Sum() != 700*time.Hour || h.Quantile(1) != 400*time.Hour {
		t.Errorf("got max %v, sum %v, want 400h and 700h", h.Max(), h.Sum())
	}
	for _, q := range []float64{-1, 0, 1, 2, math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := h.Quantile(q); got < 0 || got > h.Max() {
			t.Errorf("quantile %v is %v", q, got)
		}
	}
}

func TestHistogramSumOutlivesTheRangeOfADuration(t *testing.T) {
	var h, total Histogram
	for range 3 {
		h.Observe(math.MaxInt64)
	}
	total.Add(&h)
	total.Add(&h)
	if got, want := total.seconds(), 6*float64(math.MaxInt64)/1e9; math.Abs(got/want-1) > 1e-12 {
		t.Errorf("got %v seconds, want %v", got, want)
	}
	if got := total.Sum(); got != math.MaxInt64 {
		t.Errorf("Sum is %v, want the longest duration", got)
	}
}

func TestHistogramSinceIsTheDifference(t *testing.T) {
	var h, want Histogram
	h.Observe(time.Hour)
	h.Observe(time.Millisecond)
	before := h
	if got := h.since(&before); got != (Histogram{}) {
		t.Errorf("nothing happened: got %d durations, max %v", got.Count(), got.Max())
	}
	for _, d := range []time.Duration{time.Microsecond, time.Millisecond, math.MaxInt64, 5 * time.Second} {
		h.Observe(d)
		want.Observe(d)
	}
	if got := h.since(&before); got != want {
		t.Errorf("got %d durations, sum %v, max %v; want %d, %v, %v",
			got.Count(), got.Sum(), got.Max(), want.Count(), want.Sum(), want.Max())
	}
	before = h
	h.Observe(2 * time.Second)
	if got := h.since(&before); !near(got.Max(), 2*time.Second) || got.Sum() != 2*time.Second {
		t.Errorf("got max %v, sum %v; want about 2s, 2s", got.Max(), got.Sum())
	}
}

// FuzzHistogram compares a histogram, made of two halves, with a sorted list.
func FuzzHistogram(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 100} {
		var b []byte
		for range n {
			b = binary.LittleEndian.AppendUint64(b, random.Uint64()>>random.IntN(64))
		}
		f.Add(b, 0.99)
	}
	f.Fuzz(func(t *testing.T, b []byte, q float64) {
		var all []time.Duration
		var halves [2]Histogram
		sum := 0.0
		for ; len(b) >= 8; b = b[8:] {
			d := time.Duration(binary.LittleEndian.Uint64(b))
			halves[len(all)%2].Observe(d)
			d = max(d, 0)
			all = append(all, d)
			sum += d.Seconds()
		}
		slices.Sort(all)
		var h Histogram
		h.Add(&halves[0])
		h.Add(&halves[1])

		if h.Count() != int64(len(all)) {
			t.Fatalf("count %d, want %d", h.Count(), len(all))
		}
		if math.Abs(h.seconds()-sum) > sum*1e-9 {
			t.Fatalf("sum %v, want %v", h.seconds(), sum)
		}
		for bound, got := range h.cumulative() {
			want := uint64(0)
			for _, d := range all {
				if d.Seconds() <= bound && d <= time.Duration(math.Round(bound*1e9)) {
					want++
				}
			}
			if got != want {
				t.Fatalf("le %v: %d, want %d", bound, got, want)
			}
		}
		if len(all) == 0 || !(q >= 0 && q <= 1) {
			h.Quantile(q) // must not panic
			return
		}
		rank := int(math.Ceil(q * float64(len(all))))
		want := all[max(rank-1, 0)]
		if got := h.Quantile(q); rank < len(all) && !near(got, want) || got > all[len(all)-1] {
			t.Fatalf("quantile %v is %d, want %d", q, got, want)
		}
		if h.Max() != all[len(all)-1] || h.Quantile(1) != h.Max() {
			t.Fatalf("max %v, want %v", h.Max(), all[len(all)-1])
		}
	})
}

// BenchmarkHistogramObserve counts one by one, as the load tool does.
func BenchmarkHistogramObserve(b *testing.B) {
	b.ReportAllocs()
	var h Histogram
	d := time.Duration(1)
	for b.Loop() {
		h.Observe(d)
		d = d*5/4&(1<<32-1) + 1
	}
}
