package telemetry

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// unpack returns the native buckets of a histogram by their index.
func unpack(h *dto.Histogram) map[int]int64 {
	buckets := make(map[int]int64)
	index, count, next := 0, int64(0), 0
	for _, span := range h.GetPositiveSpan() {
		index += int(span.GetOffset())
		for range span.GetLength() {
			count += h.GetPositiveDelta()[next]
			next++
			if count != 0 {
				buckets[index] = count
			}
			index++
		}
	}
	return buckets
}

// TestNativeBucketsAreExact compares them with those that the client library
// counts by itself, at and around each bound and anywhere else.
func TestNativeBucketsAreExact(t *testing.T) {
	var all []time.Duration
	for _, bound := range nativeBounds[:numNative-1] {
		all = append(all, bound-1, bound, bound+1)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		all = append(all, time.Duration(math.Exp2(random.Float64()*maxBits)))
	}
	all = append(all, 0, 1, longest)

	library := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "library", Help: "To compare with.", NativeHistogramBucketFactor: 1.1, NativeHistogramZeroThreshold: math.Exp2(nativeZero),
	})
	var h Histogram
	for _, d := range all {
		library.Observe(d.Seconds())
		h.Observe(d)
	}
	var want dto.Metric
	if err := library.Write(&want); err != nil {
		t.Fatal(err)
	}
	if got := want.Histogram.GetSchema(); got != nativeSchema {
		t.Fatalf("the library uses schema %d, so nothing can be compared", got)
	}
	zero, buckets := h.native()
	if zero != int64(want.Histogram.GetZeroCount()) {
		t.Errorf("got %d in the zero bucket, want %d", zero, want.Histogram.GetZeroCount())
	}
	if diff := cmp.Diff(unpack(want.Histogram), buckets); diff != "" {
		t.Errorf("buckets (-want +got):\n%s", diff)
	}
}

func TestWhatIsLongerThanASlotIsInTheLastNativeBucket(t *testing.T) {
	var h Histogram
	h.Observe(longest)
	h.Observe(100 * time.Hour)
	zero, buckets := h.native()
	if want := map[int]int64{nativeLast: 2}; zero != 0 || !maps.Equal(buckets, want) {
		t.Errorf("got %d and %v, want 0 and %v", zero, buckets, want)
	}
}

// traced returns the example with exemplars.
func traced(t *testing.T) Snapshot {
	t.Helper()
	s := example(t)
	x := &s.Listeners[0].Exemplars
	note := func(outcome proxy.Outcome, why proxy.Why, took time.Duration, trace string) {
		x.Add(&proxy.Pair{Outcome: outcome, Refusal: proxy.RefusedLost, Why: why},
			Exemplar{Value: took, Time: noon, TraceID: trace, SpanID: "span"})
	}
	note(proxy.OutcomeAck, proxy.WhySlow, 2*time.Second, "slow before")
	note(proxy.OutcomeAck, proxy.WhySlow|proxy.WhySampled, 2100*time.Millisecond, "slow")
	note(proxy.OutcomeAck, proxy.WhySampled, 2200*time.Millisecond, "ordinary")
	note(proxy.OutcomeNak, proxy.WhyFailed|proxy.WhySlow, 20*time.Second, "refused and slow")
	note(proxy.OutcomeRefused, proxy.WhyFailed, time.Second, "refused here")
	note(proxy.OutcomeUnanswered, proxy.WhyFailed|proxy.WhySlow, time.Minute, "unanswered")
	return s
}

func TestExemplarsInOpenMetrics(t *testing.T) {
	s := traced(t)
	body, _ := scrape(t, NewHandler(NewGatherer(func() Snapshot { return s }), logr.Discard()), "application/openmetrics-text; version=1.0.0")
	var got []string
	for _, line := range series(body) {
		if strings.Contains(line, " # {") && strings.HasPrefix(line, namespace) {
			got = append(got, strings.ReplaceAll(line, `span_id="span",`, ""))
		}
	}
	for i := range got { // in whichever order the labels come
		got[i] = strings.ReplaceAll(got[i], `,span_id="span"`, "")
	}
	want := []string{
		`foo_sidecar_local_naks_total{listener="default",reason="lost"} 10.0 # {trace_id="refused here"} 1.0 1.7723664e+09`,
		`foo_sidecar_pairs_total{listener="default",outcome="nak"} 7.0 # {trace_id="refused and slow"} 1.0 1.7723664e+09`,
		`foo_sidecar_request_duration_seconds_bucket{listener="default",le="2.5"} 3 # {trace_id="slow"} 2.1 1.7723664e+09`,
		`foo_sidecar_request_duration_seconds_bucket{listener="default",le="+Inf"} 4 # {trace_id="refused and slow"} 20.0 1.7723664e+09`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("series with exemplars (-want +got):\n%s", diff)
	}
}

// TestBinaryFormatHasBothHistograms reads what Prometheus does when it scrapes
// native histograms.
func TestBinaryFormatHasBothHistograms(t *testing.T) {
	s := traced(t)
	const accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	body, contentType := scrape(t, NewHandler(NewGatherer(func() Snapshot { return s }), logr.Discard()), accept)
	decoder := expfmt.NewDecoder(bytes.NewBufferString(body), expfmt.ResponseFormat(http.Header{"Content-Type": {contentType}}))
	var h *dto.Histogram
	for {
		var family dto.MetricFamily
		if err := decoder.Decode(&family); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if family.GetName() == "foo_sidecar_request_duration_seconds" {
			h = family.GetMetric()[0].GetHistogram()
		}
	}
	if h == nil {
		t.Fatal("there is no histogram")
	}
	native := int64(h.GetZeroCount())
	for _, n := range unpack(h) {
		native += n
	}
	if h.GetSampleCount() != 4 || native != 4 || len(unpack(h)) != 4 {
		t.Errorf("got %d samples, %d of them in %d native buckets; want 4, 4, 4", h.GetSampleCount(), native, len(unpack(h)))
	}
	if got := h.GetBucket()[NumBuckets-2]; got.GetUpperBound() != 10 || got.GetCumulativeCount() != 3 {
		t.Errorf("got classic bucket %v, want 3 up to 10 s", got)
	}
	if got := len(h.GetExemplars()); got != 2 {
		t.Errorf("got %d exemplars, want 2", got)
	}
	if want := noon.Add(-90 * time.Minute); !h.GetCreatedTimestamp().AsTime().Equal(want) {
		t.Errorf("got %v as the start, want %v", h.GetCreatedTimestamp().AsTime(), want)
	}
}

func TestExemplarsOfACopyStay(t *testing.T) {
	var e Exemplars
	nak := &proxy.Pair{Outcome: proxy.OutcomeNak}
	e.Add(nak, Exemplar{TraceID: "first"})
	copied := e
	e.Add(nak, Exemplar{TraceID: "second"})
	if copied.Nak.TraceID != "first" || e.Nak.TraceID != "second" {
		t.Errorf("got %q and %q, want first and second", copied.Nak.TraceID, e.Nak.TraceID)
	}
}
