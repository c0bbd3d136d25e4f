package telemetry

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// at returns a registry whose clocks stand still, the monotonic one at the
// given time and the wall clock at noon.
func at(now time.Duration) *Registry {
	return NewRegistry(Options{
		Now:  func() time.Duration { return now },
		Wall: func() time.Time { return noon },
	})
}

// batch returns a batch of pairs that took a millisecond each.
func batch(when time.Duration, pairs int64) *proxy.Batch {
	b := &proxy.Batch{At: when, Counts: proxy.Counts{Requests: pairs, Positives: pairs, Acked: pairs}}
	for range pairs {
		b.Latencies = append(b.Latencies, time.Millisecond)
	}
	return b
}

func names(traffic []Traffic) (names []string) {
	for i := range traffic {
		names = append(names, traffic[i].Name)
	}
	return names
}

func TestSnapshotAddsUpSessionsAndListeners(t *testing.T) {
	r := at(9 * time.Second)
	for range 20 {
		r.Listener("b").Observer().Observe(batch(8500*time.Millisecond, 1))
	}
	r.Listener("a").Observe(batch(2*time.Second, 3))

	s := r.Snapshot()
	if diff := cmp.Diff([]string{"a", "b"}, names(s.Listeners)); diff != "" {
		t.Fatalf("listeners (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		t    *Traffic
		want int64
		rate Rates
	}{
		{&s.Listeners[0], 3, Rates{Requests10s: 0.3, Answers10s: 0.3}},
		{&s.Listeners[1], 20, Rates{Requests1s: 20, Requests10s: 2, Answers1s: 20, Answers10s: 2}},
		{&s.All, 23, Rates{Requests1s: 20, Requests10s: 2.3, Answers1s: 20, Answers10s: 2.3}},
	} {
		c.t.Rates.Coverage1s, c.t.Rates.Coverage10s = 0, 0 // another test's business
		if c.t.Counts.Acked != c.want || c.t.Latency.Count() != c.want || c.t.Rates != c.rate {
			t.Errorf("%q: got %d pairs, %d latencies, %+v; want %d, %+v",
				c.t.Name, c.t.Counts.Acked, c.t.Latency.Count(), c.t.Rates, c.want, c.rate)
		}
	}
	if !s.Time.Equal(noon) || s.Uptime != 0 {
		t.Errorf("got time %v, uptime %v; want noon, 0", s.Time, s.Uptime)
	}
}

func TestRetiredListenerStaysInAllAndGoesOn(t *testing.T) {
	r := at(0)
	r.Listener("kept").Observe(batch(0, 1))
	gone := r.Listener("gone").Observer()
	gone.Observe(batch(0, 2))
	r.Retain([]string{"kept", "not there"})
	gone.Observe(batch(0, 3)) // it still drains

	s := r.Snapshot()
	if diff := cmp.Diff([][]string{{"kept"}, {"gone"}}, [][]string{names(s.Listeners), names(s.Retired)}); diff != "" {
		t.Errorf("shown and retired (-want +got):\n%s", diff)
	}
	if s.All.Counts.Acked != 6 {
		t.Errorf("got %d pairs in all, want 6", s.All.Counts.Acked)
	}

	r.Listener("gone").Observe(batch(0, 4))
	s = r.Snapshot()
	if diff := cmp.Diff([]string{"gone", "kept"}, names(s.Listeners)); diff != "" {
		t.Fatalf("after it came back (-want +got):\n%s", diff)
	}
	if got := s.Listeners[0].Counts.Acked; got != 9 {
		t.Errorf("got %d pairs, want 9", got)
	}
}

func TestRestoreGoesOnFromACheckpoint(t *testing.T) {
	before := at(time.Hour)
	old := before.Listener("default")
	old.Observe(batch(time.Hour-time.Second, 5))
	old.Observe(&proxy.Batch{At: time.Hour, Counts: proxy.Counts{Requests: 2, Opened: 3, Queued: 5, Dequeued: 1}})
	saved := before.Checkpoint().Listeners[0]

	r := at(0)
	if err := r.Restore("default", Totals(saved.Total()), saved.Buckets); err != nil {
		t.Fatal(err)
	}
	if s := r.Snapshot(); len(s.Listeners) != 0 || len(s.Retired) != 1 {
		t.Errorf("a listener that is only in the checkpoint is shown: %v", names(s.Listeners))
	}
	r.Listener("default").Observe(batch(0, 1))
	s := r.Snapshot()
	got := s.Listeners[0]
	total := got.Total()
	if total.Requests != 8 || total.Acked != 6 || got.Counts.Requests != 1 {
		t.Errorf("got %d requests, %d acked, %d of this process; want 8, 6, 1", total.Requests, total.Acked, got.Counts.Requests)
	}
	if total.InFlight() != 0 || total.Unanswered[proxy.UnansweredRestart] != 2 {
		t.Errorf("requests of the old process: %d in flight, %d ended; want 0, 2", total.InFlight(), total.Unanswered[proxy.UnansweredRestart])
	}
	if total.Sessions() != 0 || total.Closed[proxy.ClosedRestart] != 3 {
		t.Errorf("sessions of the old process: %d open, %d closed; want 0, 3", total.Sessions(), total.Closed[proxy.ClosedRestart])
	}
	if total.Waiting() != 0 {
		t.Errorf("%d sessions of the old process wait, want 0", total.Waiting())
	}
	if want := 0.8; got.Rates.Requests10s != want || s.All.Rates.Requests10s != want {
		t.Errorf("got request rates %v and %v, want %v", got.Rates.Requests10s, s.All.Rates.Requests10s, want)
	}
	if got.Latency.Count() != 1 {
		t.Errorf("got %d latencies, want that of this process", got.Latency.Count())
	}
}

func TestRestoreOfBadTotalsChangesNothing(t *testing.T) {
	r := at(0)
	err := r.Restore("default", map[string]int64{"requests": -1}, []Bucket{{noon, bucketWidth, 1, 1}})
	if err == nil {
		t.Fatal("no error")
	}
	if s := r.Snapshot(); len(s.Retired) != 0 || s.All.Rates != (Rates{}) {
		t.Errorf("%v was half restored", names(s.Retired))
	}
}

func TestWindowCoverageGrowsFromTheFirstMoment(t *testing.T) {
	now := time.Hour
	r := NewRegistry(Options{Now: func() time.Duration { return now }})
	r.Listener("old")
	for _, c := range []struct {
		at                 time.Duration
		in1s, in10s, young float64
	}{
		{0, 0.01, 0.001, 0},
		{490 * time.Millisecond, 0.5, 0.05, 0},
		{4990 * time.Millisecond, 1, 0.5, 0.001},
		{9989 * time.Millisecond, 1, 0.999, 0.5},
		{time.Minute, 1, 1, 1},
	} {
		now = time.Hour + c.at
		if c.young > 0 {
			r.Listener("young")
		}
		s := r.Snapshot()
		if got := s.Listeners[0].Rates; got.Coverage1s != c.in1s || got.Coverage10s != c.in10s {
			t.Errorf("after %v: got %v and %v, want %v and %v", c.at, got.Coverage1s, got.Coverage10s, c.in1s, c.in10s)
		}
		if s.All.Rates.Coverage10s != c.in10s {
			t.Errorf("after %v: got %v of all, want %v as of the first listener", c.at, s.All.Rates.Coverage10s, c.in10s)
		}
		if c.young > 0 && s.Listeners[1].Rates.Coverage10s != c.young {
			t.Errorf("after %v: got %v of the younger listener, want %v", c.at, s.Listeners[1].Rates.Coverage10s, c.young)
		}
	}
}

// TestSnapshotsUnderLoadAreWhole holds that no snapshot shows part of a batch,
// and that nothing is lost.
func TestSnapshotsUnderLoadAreWhole(t *testing.T) {
	r := NewRegistry(Options{})
	const sessions, batches, pairs = 8, 2000, 3
	var wg sync.WaitGroup
	for i := range sessions {
		o := r.Listener(fmt.Sprint(i % 2)).Observer()
		wg.Go(func() {
			b := batch(0, pairs)
			for range batches {
				b.At = r.now()
				o.Observe(b)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()

	for finished := false; !finished; {
		select {
		case <-done:
			finished = true
		default:
		}
		s := r.Snapshot()
		c := s.All.Counts
		if c.Requests%pairs != 0 || c.InFlight() != 0 || c.Acked != s.All.Latency.Count() {
			t.Fatalf("a batch is seen in part: %d requests, %d in flight, %d latencies",
				c.Requests, c.InFlight(), s.All.Latency.Count())
		}
	}
	s := r.Snapshot()
	if want := int64(sessions * batches * pairs); s.All.Counts.Acked != want {
		t.Errorf("got %d pairs, want %d", s.All.Counts.Acked, want)
	}
}

// traffic makes random batches that could be: no more ends than began.
type traffic struct {
	random   *rand.Rand
	now      time.Duration
	inFlight int64
	sessions int64
	waiting  int64
}

func (f *traffic) upTo(limit int64) int64 { return f.random.Int64N(limit + 1) }

func (f *traffic) batch() *proxy.Batch {
	f.now += time.Duration(f.upTo(int64(100 * time.Millisecond)))
	b := &proxy.Batch{At: f.now}
	numbers(reflect.ValueOf(&b.Counts).Elem(), func(v reflect.Value) { v.SetInt(f.upTo(3)) })
	c := &b.Counts

	f.inFlight += c.Requests
	c.Requests += c.ServerRequests
	end := func(n *int64) {
		*n = f.upTo(min(f.inFlight, 2))
		f.inFlight -= *n
	}
	end(&c.Acked)
	end(&c.Naked)
	for i := range c.Unanswered {
		end(&c.Unanswered[i])
	}
	for i := range c.Refused {
		if proxy.Refusal(i).EndsRequest() {
			end(&c.Refused[i])
		}
	}
	f.waiting += c.Queued
	c.Dequeued = f.upTo(min(f.waiting, 2))
	f.waiting -= c.Dequeued
	c.Positives, c.Negatives = c.Acked+c.ClientAnswers, c.Naked+c.Unmatched
	f.sessions += c.Opened
	c.Closed[0] = 0
	for i := range c.Closed[1:] {
		c.Closed[i+1] = f.upTo(min(f.sessions, 2))
		f.sessions -= c.Closed[i+1]
	}
	for range c.Acked + c.Naked {
		b.Latencies = append(b.Latencies, time.Duration(f.upTo(int64(time.Second))))
	}
	return b
}

func BenchmarkObserve(b *testing.B) {
	for _, pairs := range []int64{1, 64} {
		b.Run(fmt.Sprintf("pairs=%d", pairs), func(b *testing.B) {
			b.ReportAllocs()
			recorder := NewRegistry(Options{}).Listener("default")
			b.RunParallel(func(pb *testing.PB) {
				o := recorder.Observer()
				batch := batch(0, pairs)
				for pb.Next() {
					batch.At += time.Microsecond
					o.Observe(batch)
				}
			})
		})
	}
}

func BenchmarkSnapshot(b *testing.B) {
	b.ReportAllocs()
	r := NewRegistry(Options{})
	for i := range 1000 {
		r.Listener("default").Observe(batch(time.Duration(i)*bucketWidth, 1))
	}
	for b.Loop() {
		r.Snapshot()
	}
}
