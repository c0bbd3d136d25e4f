package telemetry

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// noon is a wall-clock time for tests.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestThreeRequestsInTenSecondsAreThreeTenths(t *testing.T) {
	var w Window
	w.Add(1*time.Second, 1, 0)
	w.Add(4*time.Second, 2, 5)
	want := Rates{Requests10s: 0.3, Answers10s: 0.5}
	if got := w.Rates(9 * time.Second); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEventsLeaveTheWindowsInTime(t *testing.T) {
	var w Window
	at := 42 * time.Second
	w.Add(at, 10, 20)
	in1s := Rates{Requests1s: 10, Answers1s: 20, Requests10s: 1, Answers10s: 2}
	in10s := Rates{Requests10s: 1, Answers10s: 2}
	for age, want := range map[time.Duration]Rates{
		0:                        in1s,
		990 * time.Millisecond:   in1s,
		999 * time.Millisecond:   in1s,
		time.Second:              in10s,
		9990 * time.Millisecond:  in10s,
		9999 * time.Millisecond:  in10s,
		10 * time.Second:         {},
		10240 * time.Millisecond: {}, // the ring has come round to its place
		time.Hour:                {},
	} {
		if got := w.Rates(at + age); got != want {
			t.Errorf("%v later: got %+v, want %+v", age, got, want)
		}
	}
	if got := w.Rates(at - time.Second); got != (Rates{}) {
		t.Errorf("a second earlier: got %+v, want nothing", got)
	}
}

func TestWindowTakesTimesOutOfOrder(t *testing.T) {
	var w Window
	w.Add(20*time.Second, 1, 0)
	w.Add(19*time.Second-time.Millisecond, 1, 0) // its own, older place
	w.Add(5*time.Second, 100, 0)                 // older than the ring
	w.Add(20*time.Second-ringSize*bucketWidth, 100, 0)
	want := Rates{Requests1s: 1, Requests10s: 0.2}
	if got := w.Rates(20 * time.Second); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// windowModel is a window that remembers every event.
type windowModel []windowEvent

type windowEvent struct {
	tick              int64
	requests, answers int64
}

func (m windowModel) rates(now time.Duration) (r Rates) {
	for _, e := range m {
		age := int64(now/bucketWidth) - e.tick
		if age >= 0 && age < 100 {
			r.Requests1s += float64(e.requests)
			r.Answers1s += float64(e.answers)
		}
		if age >= 0 && age < 1000 {
			r.Requests10s += float64(e.requests)
			r.Answers10s += float64(e.answers)
		}
	}
	r.Requests10s /= 10
	r.Answers10s /= 10
	return r
}

func FuzzWindow(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint8(30*seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, pace uint8) {
		random := rand.New(rand.NewPCG(seed, 0))
		var windows [2]Window
		var model windowModel
		now := time.Duration(random.Int64N(int64(time.Minute)))
		for i := range 300 {
			now += time.Duration(random.ExpFloat64() * float64(pace) * float64(time.Millisecond) * 5)
			at := max(now-time.Duration(random.ExpFloat64()*float64(20*time.Millisecond)), 0)
			requests, answers := random.Int64N(4), random.Int64N(4)
			windows[i%2].Add(at, requests, answers)
			model = append(model, windowEvent{int64(at / bucketWidth), requests, answers})
			if i%10 != 0 {
				continue
			}
			var both Window
			both.merge(&windows[0])
			both.merge(&windows[1])
			later := now + time.Duration(random.Int64N(int64(12*time.Second)))
			for _, when := range []time.Duration{now, now - 200*time.Millisecond, later} {
				if got, want := both.Rates(when), model.rates(when); when >= 0 && got != want {
					t.Fatalf("after %d events, at %v: got %+v, want %+v", i+1, when, got, want)
				}
			}
		}
	})
}

func TestBucketsGoOnInTheNextProcess(t *testing.T) {
	var before Window
	before.Add(time.Hour-9*time.Second, 7, 6)
	before.Add(time.Hour-2*time.Second, 3, 2)
	before.Add(time.Hour, 1, 1)
	buckets := before.Buckets(time.Hour, noon)
	wanted := []Bucket{
		{noon.Add(-9 * time.Second), bucketWidth, 7, 6},
		{noon.Add(-2 * time.Second), bucketWidth, 3, 2},
		{noon, bucketWidth, 1, 1},
	}
	if diff := cmp.Diff(wanted, buckets); diff != "" {
		t.Fatalf("buckets (-want +got):\n%s", diff)
	}

	// The next process starts its clock two seconds later.
	var after Window
	after.Restore(0, noon.Add(2*time.Second), buckets)
	after.begin(0)
	// The old process is known to have counted for 8 s of the window, and nobody
	// did for the 2 s before the new one.
	want := Rates{Requests10s: 0.4, Answers10s: 0.3, Coverage1s: 0.01, Coverage10s: 0.801}
	if got := after.Rates(0); got != want {
		t.Errorf("at the start: got %+v, want %+v", got, want)
	}
	after.Add(time.Second, 5, 5)
	want = Rates{Requests10s: 0.6, Answers10s: 0.6, Coverage1s: 1, Coverage10s: 0.801}
	if got := after.Rates(7 * time.Second); got != want {
		t.Errorf("7 s later: got %+v, want %+v", got, want)
	}
	if got := after.Rates(10 * time.Second); got.Coverage10s != 1 {
		t.Errorf("10 s later: got %+v, want all of the window covered", got)
	}
}

func TestRestoreSpreadsWideBuckets(t *testing.T) {
	var w Window
	w.Restore(0, noon, []Bucket{{noon.Add(-1500 * time.Millisecond), time.Second, 1003, 50}})
	if got := w.Rates(0); got.Requests10s != 100.3 || got.Answers10s != 5 {
		t.Errorf("got %+v, want 100.3 and 5 over ten seconds", got)
	}
	if got := w.Rates(0).Requests1s; got < 480 || got > 520 {
		t.Errorf("got %v over the last second, want about half", got)
	}
}

func TestRestoreDropsWhatCannotBe(t *testing.T) {
	var w Window
	w.Restore(0, noon, []Bucket{
		{noon.Add(time.Minute), bucketWidth, 1, 1},
		{noon.Add(time.Millisecond), bucketWidth, 1, 1},
		{noon.Add(-11 * time.Second), bucketWidth, 1, 1},
		{noon.AddDate(-100, 0, 0), bucketWidth, 1, 1},
		{time.Time{}, time.Hour, 1, 1},
	})
	if got := w.Rates(0); got != (Rates{}) {
		t.Errorf("got %+v, want nothing", got)
	}
	w = Window{}
	w.Restore(0, noon, []Bucket{{noon.Add(-5 * time.Second), -time.Hour, 1, 1}})
	if got, want := w.Rates(0), (Rates{Requests10s: 0.1, Answers10s: 0.1, Coverage10s: 0.001}); got != want {
		t.Errorf("a bucket without width: got %+v, want %+v", got, want)
	}
}
