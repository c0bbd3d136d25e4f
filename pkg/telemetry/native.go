package telemetry

import (
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// The native buckets: one for all durations up to 2^nativeZero seconds, which is
// a microsecond, and from there on 2^nativeSchema for each octave. Index 0 is the
// one that ends at a second, and nativeLast the one in which the slots end.
const (
	nativeSchema = 3
	nativeZero   = -20
	nativeFirst  = nativeZero << nativeSchema // the index whose upper bound is the zero bucket's
	nativeLast   = 97
	numNative    = nativeLast - nativeFirst + 1
)

// nativeBounds are the upper bounds, inclusive, of the native buckets: first that
// of the zero bucket, then those with the indexes above nativeFirst.
var nativeBounds = func() (bounds [numNative]time.Duration) {
	for i := range bounds {
		bounds[i] = time.Duration(math.Exp2(float64(nativeFirst+i)/(1<<nativeSchema)) * float64(time.Second))
	}
	bounds[numNative-1] = math.MaxInt64
	return bounds
}()

// native returns the zero bucket, and the native buckets that hold something by
// their index.
func (h *Histogram) native() (zero int64, buckets map[int]int64) {
	counts := h.buckets(nativeBounds[:])
	buckets = make(map[int]int64)
	for i, n := range counts[1:] {
		if n > 0 {
			buckets[nativeFirst+1+i] = n
		}
	}
	return counts[0], buckets
}

// newHistogram returns a histogram with both kinds of buckets, and with x. The
// counting began at the given time.
func newHistogram(desc *prometheus.Desc, h *Histogram, began time.Time, x *Exemplars, labels []string) (prometheus.Metric, error) {
	count := uint64(h.count)
	classic, err := prometheus.NewConstHistogram(desc, count, h.seconds(), h.cumulative(), labels...)
	if err != nil {
		return nil, err
	}
	zero, buckets := h.native()
	native, err := prometheus.NewConstNativeHistogram(desc, count, h.seconds(), buckets, nil,
		uint64(zero), nativeSchema, math.Exp2(nativeZero), began, labels...)
	if err != nil {
		return nil, err
	}
	both := bothHistograms{native, classic}
	if shown := x.slow(); len(shown) > 0 {
		return prometheus.NewMetricWithExemplars(both, shown...)
	}
	return both, nil
}

// slow returns the exemplars of the buckets, oldest first, as native histograms
// want them.
func (e *Exemplars) slow() []prometheus.Exemplar {
	var shown []prometheus.Exemplar
	for _, x := range e.Buckets {
		if x != nil {
			shown = append(shown, x.shown(x.Value.Seconds()))
		}
	}
	slices.SortFunc(shown, func(a, b prometheus.Exemplar) int { return a.Timestamp.Compare(b.Timestamp) })
	return shown
}

// bothHistograms is a native histogram that has classic buckets as well: those
// who scrape take what they understand.
type bothHistograms struct {
	prometheus.Metric // the native one
	classic           prometheus.Metric
}

// Write implements [prometheus.Metric].
func (b bothHistograms) Write(out *dto.Metric) error {
	var classic dto.Metric
	if err := b.classic.Write(&classic); err != nil {
		return err
	}
	if err := b.Metric.Write(out); err != nil {
		return err
	}
	out.Histogram.Bucket = classic.Histogram.Bucket
	return nil
}
