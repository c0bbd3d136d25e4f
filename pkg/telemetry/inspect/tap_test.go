package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// watch returns the lines of a tap up to its end.
func watch(t *testing.T, i *Inspector, f Filter) (end func() []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	lines, err := i.Tap(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	return func() []string {
		cancel()
		return strings.SplitAfter(strings.TrimSuffix(drain(lines), "\n"), "\n")
	}
}

// tapped returns an ordinary pair that somebody watches.
func tapped(seq int64, outcome proxy.Outcome, took time.Duration) proxy.Pair {
	p := pair(outcome, proxy.WhyTapped)
	p.ID, p.Start = seq, p.End-took
	return p
}

func TestATapShowsWhatItsFilterWants(t *testing.T) {
	pairs := []proxy.Pair{
		tapped(1, proxy.OutcomeAck, time.Millisecond),
		tapped(2, proxy.OutcomeAck, 50*time.Millisecond),
		tapped(3, proxy.OutcomeNak, time.Millisecond),
		tapped(4, proxy.OutcomeRefused, 60*time.Millisecond),
		tapped(55, proxy.OutcomeUnanswered, time.Minute),
	}
	for name, test := range map[string]struct {
		filter Filter
		want   []int64
	}{
		"everything":        {Filter{}, []int64{1, 2, 3, 4, 55}},
		"outcomes":          {Filter{Outcomes: []string{"nak", "nak_local"}}, []int64{3, 4}},
		"slow ones":         {Filter{Slower: 50 * time.Millisecond}, []int64{2, 4, 55}},
		"both":              {Filter{Outcomes: []string{"ack"}, Slower: 50 * time.Millisecond}, []int64{2}},
		"lines that match":  {Filter{Match: regexp.MustCompile(`"seq":(1|55),`)}, []int64{1, 55}},
		"the end of a line": {Filter{Match: regexp.MustCompile(`tapped"\]}$`)}, []int64{1, 2, 3, 4, 55}},
	} {
		t.Run(name, func(t *testing.T) {
			i := New(options())
			end := watch(t, i, test.filter)
			o := newSession(i)
			o.Observe(batch(o, pairs...))
			i.handleQueued()
			var got []int64
			for _, line := range end() {
				var r Record
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatalf("line %q: %v", line, err)
				}
				got = append(got, r.Seq)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("pairs shown (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATapRefusesWhatMakesNoSense(t *testing.T) {
	for want, f := range map[string]Filter{
		"outcome must be one of ack, nak, nak_local, unanswered, got \"nack\"": {Outcomes: []string{"nack"}},
		"slower must not be negative, got -1s":                                 {Slower: -time.Second},
		"rate must be 1 to 1000 lines a second, got 1001":                      {Rate: 1001},
		"rate must be 1 to 1000 lines a second, got -1":                        {Rate: -1},
	} {
		if _, err := New(options()).Tap(t.Context(), f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q", err, want)
		}
	}
}

func TestTheInterestCoversAllTapsAndGoesWithThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(options())
		o := newSession(i)
		first, leaveFirst := context.WithCancel(t.Context())
		if _, err := i.Tap(first, Filter{Outcomes: []string{"nak"}}); err != nil {
			t.Fatal(err)
		}
		second, leaveSecond := context.WithCancel(t.Context())
		if _, err := i.Tap(second, Filter{Outcomes: []string{"ack", "nak"}, Slower: time.Second}); err != nil {
			t.Fatal(err)
		}
		both := &proxy.Tap{Outcomes: [proxy.NumOutcomes]bool{proxy.OutcomeAck: true, proxy.OutcomeNak: true}}
		if diff := cmp.Diff(both, o.Interest().Tap); diff != "" {
			t.Errorf("with both (-want +got):\n%s", diff)
		}
		leaveFirst()
		synctest.Wait()
		both.Slower = time.Second
		if diff := cmp.Diff(both, o.Interest().Tap); diff != "" {
			t.Errorf("with the second (-want +got):\n%s", diff)
		}
		leaveSecond()
		synctest.Wait()
		if got := o.Interest().Tap; got != nil {
			t.Errorf("without taps %+v is wanted, want nothing", got)
		}
	})
}

func TestWatchersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(options())
		ctx, cancel := context.WithCancel(t.Context())
		for range MaxWatchers {
			if _, err := i.Tap(ctx, Filter{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := i.Tap(ctx, Filter{}); !errors.Is(err, ErrTooManyWatchers) {
			t.Errorf("got error %v, want %v", err, ErrTooManyWatchers)
		}
		cancel()
		synctest.Wait()
		if _, err := i.Tap(t.Context(), Filter{}); err != nil {
			t.Errorf("after the others went: %v", err)
		}
	})
}

func TestATapTellsHowMuchWasLeftOut(t *testing.T) {
	for name, test := range map[string]struct {
		filter       Filter
		sent, batchy int
		lines        int // pairs that are shown
	}{
		"above the rate":                        {Filter{Rate: 10}, 50, 1, 10},
		"above the default rate":                {Filter{}, 250, 1, DefaultTapRate},
		"by a reader that is too slow":          {Filter{Rate: MaxTapRate}, 500, 1, tapBacklog},
		"more than are looked at":               {Filter{Rate: 200}, 3 * candidateBurst, 100, 200},
		"pairs that found no room in the batch": {Filter{Rate: 200}, 20 * 400, 400, 200},
	} {
		t.Run(name, func(t *testing.T) {
			i := New(options())
			ctx, cancel := context.WithCancel(t.Context())
			lines, err := i.Tap(ctx, test.filter)
			if err != nil {
				t.Fatal(err)
			}
			o := newSession(i)
			for sent := 0; sent < test.sent; sent += test.batchy {
				b := batch(o)
				for k := range test.batchy {
					p := tapped(int64(sent+k), proxy.OutcomeAck, time.Millisecond)
					count(b, p.Outcome)
					if k < 256 {
						b.Pairs = append(b.Pairs, p)
					}
				}
				o.Observe(b)
			}
			if queued := len(i.queue); queued > candidateBurst {
				t.Errorf("%d pairs are looked at, want at most %d at once", queued, candidateBurst)
			}
			i.handleQueued()
			shown := len(lines)
			if shown == cap(lines) {
				<-lines // room for the line that tells
			}
			i.tick()
			cancel()
			all := strings.Split(strings.TrimSpace(drain(lines)), "\n")
			want := fmt.Sprintf(`{"omitted":%d}`, test.sent-test.lines)
			if got := all[len(all)-1]; shown != test.lines || got != want {
				t.Errorf("got %d pairs and then %s, want %d and %s", shown, got, test.lines, want)
			}
		})
	}
}

func TestAFloodOfWatchedPairsLeavesRoomForTheChosenOnes(t *testing.T) {
	tracer := new(fakeTracer)
	i := New(options())
	i.Configure(traced(tracer))
	end := watch(t, i, Filter{})
	o := newSession(i)
	for k := range int64(4 * queueSize) {
		b := batch(o, tapped(k, proxy.OutcomeAck, time.Millisecond))
		b.At += time.Duration(k) * time.Millisecond
		o.Observe(b)
	}
	for range queueSize / 2 {
		o.Observe(batch(o, failure()))
	}
	i.handleQueued()
	end()
	if len(tracer.spans) != queueSize/2 || i.Stats().Dropped.Queue != 0 {
		t.Errorf("%d spans and %+v, want %d and no drops", len(tracer.spans), i.Stats(), queueSize/2)
	}
}

func TestAChosenPairThatFindsNoRoomIsStillShownToWatchers(t *testing.T) {
	i := New(options())
	i.Configure(Settings{Slow: proxy.NeverSlow, PerSecond: 1})
	end := watch(t, i, Filter{Outcomes: []string{"nak"}})
	o := newSession(i)
	for range 10 {
		o.Observe(batch(o, pair(proxy.OutcomeNak, proxy.WhyFailed|proxy.WhyTapped)))
	}
	i.handleQueued()
	if got := len(end()); got != 10 {
		t.Errorf("%d lines, want 10", got)
	}
	if got := len(i.Recent().Failed); got != 1 {
		t.Errorf("the flight recorder has %d pairs, want 1", got)
	}
}
