package telemetry

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// runHistory runs a history of a registry within a bubble, until the test ends.
func runHistory(t *testing.T) (*Registry, *History) {
	t.Helper()
	r := NewRegistry(Options{})
	h := NewHistory(r.Snapshot)
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	t.Cleanup(func() { end(); <-done })
	synctest.Wait()
	return r, h
}

// seconds lets n seconds pass.
func seconds(n int) {
	time.Sleep(time.Duration(n) * time.Second) // virtual
	synctest.Wait()
}

func TestHistoryTellsWhatHappenedInEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := runHistory(t)
		if got := h.Points(); len(got) != 0 {
			t.Errorf("got %d points before a second was over, want none", len(got))
		}
		o := r.Listener("default")
		b := &proxy.Batch{Counts: proxy.Counts{
			Requests: 10, Positives: 4, Acked: 4, Negatives: 1, Naked: 1,
			Unanswered: [proxy.NumUnanswered]int64{proxy.UnansweredForgotten: 1},
			Refused:    [proxy.NumRefusals]int64{proxy.RefusedLost: 1, proxy.RefusedLimit: 5},
			Opened:     3,
		}}
		for range 5 {
			b.Latencies = append(b.Latencies, time.Millisecond)
		}
		o.Observe(b)
		start := time.Now()
		seconds(2)

		points := h.Points()
		if len(points) != 2 {
			t.Fatalf("got %d points, want 2", len(points))
		}
		buckets := make([]int64, NumBuckets)
		want := Point{Time: start.Add(2 * time.Second).UTC(), InFlight: 3, Connections: 3, Buckets: buckets}
		if diff := cmp.Diff(want, points[1]); diff != "" {
			t.Errorf("the idle second (-want +got):\n%s", diff)
		}
		want.Time = start.Add(time.Second).UTC()
		want.RequestRate, want.ResponseRate, want.Failed = 10, 5, 3
		want.P50, want.P90, want.P99 = 0.001, 0.001, 0.001
		want.Buckets[4] = 5
		points[0].P50, points[0].P90 = round(points[0].P50), round(points[0].P90)
		if diff := cmp.Diff(want, points[0]); diff != "" {
			t.Errorf("the busy second (-want +got):\n%s", diff)
		}
	})
}

// round returns f to the millisecond, because percentiles are not exact.
func round(f float64) float64 { return time.Duration(f * 1e9).Round(time.Millisecond).Seconds() }

func TestHistoryForgetsAfterFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := runHistory(t)
		start := time.Now()
		seconds(299)
		if got := len(h.Points()); got != 299 {
			t.Errorf("got %d points, want 299", got)
		}
		seconds(100)
		points := h.Points()
		if len(points) != 300 {
			t.Fatalf("got %d points, want 300", len(points))
		}
		if first, last := points[0].Time.Sub(start), points[299].Time.Sub(start); first != 100*time.Second || last != 399*time.Second {
			t.Errorf("got points from %v to %v, want 100 s to 399 s", first, last)
		}
	})
}

func TestP99IsOfTheLastTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := runHistory(t)
		observe := func(d time.Duration, pairs int) {
			b := &proxy.Batch{Latencies: make([]time.Duration, pairs)}
			for i := range b.Latencies {
				b.Latencies[i] = d
			}
			r.Listener("default").Observe(b)
		}
		expect := func(when string, want time.Duration) {
			t.Helper()
			if got := h.P99(); !near(got, want) {
				t.Errorf("%s: got %v, want %v", when, got, want)
			}
		}
		expect("at first", 0)
		observe(time.Second, 98)
		seconds(1)
		expect("after a slow second", time.Second)
		observe(time.Millisecond, 9702)
		seconds(1)
		expect("with 1 % of them slow", time.Millisecond)
		observe(time.Second, 100)
		seconds(1)
		expect("with more of them slow", time.Second)
		seconds(8)
		expect("when the first ones are out", time.Second)
		seconds(1)
		expect("when the fast ones are out", time.Second)
		seconds(1)
		expect("when all are out", 0)
	})
}

// TestHistoryInJSON holds the names that the status page reads.
func TestHistoryInJSON(t *testing.T) {
	got, err := json.Marshal(Point{Time: noon, Buckets: []int64{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"time":"2026-03-01T12:00:00Z","request_rate":0,"response_rate":0,"failed":0,` +
		`"in_flight":0,"connections":0,"p50":0,"p90":0,"p99":0,"buckets":[1,2]}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// BenchmarkHistory is a second of a process with traffic: a tick and what it asks
// for.
func BenchmarkHistory(b *testing.B) {
	b.ReportAllocs()
	now := time.Duration(0)
	r := NewRegistry(Options{Now: func() time.Duration { return now }})
	h := NewHistory(r.Snapshot)
	h.begin(r.Snapshot())
	for b.Loop() {
		r.Listener("default").Observe(batch(now, 1))
		now += time.Second
		h.add(r.Snapshot())
	}
}
