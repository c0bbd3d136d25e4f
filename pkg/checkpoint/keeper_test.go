package checkpoint

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// memory is a store in memory.
type memory struct {
	mu     sync.Mutex
	state  State
	err    error         // what Load and Save return
	block  chan struct{} // Save waits for it to be closed, if it is set
	saves  int           // calls of Save
	saving bool          // one of them has not returned
}

func (m *memory) String() string { return "memory" }

func (m *memory) Load(context.Context) (State, error) {
	if m.err == nil && m.state.IsZero() {
		return State{}, ErrNone
	}
	return m.state, m.err
}

func (m *memory) Save(_ context.Context, s State) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.saving {
		panic("two saves at a time")
	}
	m.saves++
	if m.block != nil {
		m.saving = true
		m.mu.Unlock()
		<-m.block
		m.mu.Lock()
		m.saving = false
	}
	if m.err != nil {
		return 0, m.err
	}
	m.state = s
	return 100, nil
}

// fail makes Save return err from now on.
func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// hold makes Save hang from now on, until the function that it returns is called.
func (m *memory) hold() (release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	block := make(chan struct{})
	m.block = block
	return func() { close(block) }
}

// saved returns the state that was saved last and the number of saves.
func (m *memory) saved() (s State, saves int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.saves
}

// requests returns the value of the counter's counter in s.
func requests(s State) int64 { return s.Totals["default"]["msg_req"] }

// counter is a source whose one counter can be raised.
type counter struct{ atomic.Int64 }

func (c *counter) state() State {
	return State{Totals: map[string]map[string]int64{"default": {"msg_req": c.Load()}}}
}

// bench is a Keeper that runs in a bubble of virtual time.
type bench struct {
	*Keeper
	store  *memory
	source *counter
	log    *logLines
	stop   func() // ends Run and waits for it
}

func startBench(t *testing.T, opts Options) *bench {
	t.Helper()
	b := &bench{store: new(memory), source: new(counter), log: new(logLines)}
	opts.Store, opts.Log = b.store, b.log.logger()
	if opts.Source == nil {
		opts.Source = b.source.state
	}
	b.Keeper = NewKeeper(opts)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Run(ctx)
	}()
	b.stop = func() {
		cancel()
		<-ended
	}
	return b
}

// pass lets d of virtual time pass, and everything settle that follows from it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) wantStats(t *testing.T, want Stats) {
	t.Helper()
	if d := cmp.Diff(want, b.Stats()); d != "" {
		t.Errorf("stats differ (-want +got):\n%s", d)
	}
}

func TestKeeperSavesAtEachIntervalOnlyWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := startBench(t, Options{})
		b.source.Store(1)
		pass(3 * time.Second)
		b.wantStats(t, Stats{Writes: 1, Skipped: 2, Bytes: 100, LastSuccess: start.Add(time.Second), Working: true})
		b.source.Store(2)
		pass(time.Second)
		b.wantStats(t, Stats{Writes: 2, Skipped: 2, Bytes: 100, LastSuccess: start.Add(4 * time.Second), Working: true})
		s, _ := b.store.saved()
		if s.Boot == "" || s.Sequence != 2 || !s.SavedAt.Equal(start.Add(4*time.Second)) {
			t.Errorf("got boot %q, sequence %d, saved at %v", s.Boot, s.Sequence, s.SavedAt)
		}
		b.stop()
	})
}

func TestKeeperDoesNotSaveBecauseBucketsGrowOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		buckets := []Bucket{
			{Start: start, Width: 10 * time.Millisecond, Requests: 1},
			{Start: start.Add(500 * time.Millisecond), Width: 10 * time.Millisecond, Requests: 1},
			{Start: start.Add(20 * time.Second), Width: 10 * time.Millisecond, Answers: 1},
		}
		b := startBench(t, Options{Source: func() State {
			return State{Windows: young(map[string][]Bucket{"default": buckets}, time.Now())}
		}})
		pass(19 * time.Second)
		if n := b.Stats().Writes; n != 1 {
			t.Errorf("saved %d times, want once", n)
		}
		pass(20 * time.Second)
		if n := b.Stats().Writes; n != 2 {
			t.Errorf("after a new bucket: saved %d times, want twice", n)
		}
		b.stop()
	})
}

func TestKeeperSavesOnceMoreAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t, Options{Interval: time.Hour})
		b.source.Store(7)
		b.stop()
		if s, _ := b.store.saved(); requests(s) != 7 {
			t.Errorf("the last state counts %d, want 7", requests(s))
		}
	})
}

func TestKeeperFollowsANewInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t, Options{Interval: time.Hour})
		b.source.Store(1)
		b.SetInterval(time.Minute) // replaced before anybody has seen it, or not
		b.SetInterval(2 * time.Second)
		pass(2 * time.Second)
		if _, saves := b.store.saved(); saves != 1 {
			t.Errorf("saved %d times after the new interval, want once", saves)
		}
		b.SetInterval(-1)
		b.source.Store(2)
		pass(time.Second)
		if _, saves := b.store.saved(); saves != 2 {
			t.Errorf("saved %d times after the default interval, want twice", saves)
		}
		b.stop()
	})
}

func TestKeeperLogsAFailureOnceAndTheEndOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t, Options{})
		b.source.Store(1)
		b.store.fail(errors.New("no space left"))
		pass(5 * time.Second)
		b.wantStats(t, Stats{Failures: 5, LastError: "no space left"})
		if n := b.log.containing("no space left"); n != 1 {
			t.Errorf("logged the failure %d times, want once: %q", n, b.log.lines)
		}
		b.store.fail(nil)
		pass(5 * time.Second)
		b.wantStats(t, Stats{Writes: 1, Failures: 5, Skipped: 4, Bytes: 100, LastError: "no space left",
			LastSuccess: time.Now().Add(-4 * time.Second), Working: true})
		if n := b.log.containing(`"failures"=5`); n != 1 || len(b.log.lines) != 2 {
			t.Errorf("want one line that saving works again after 5 failures, got %q", b.log.lines)
		}
		b.stop()
	})
}

func TestSlowStoreIsNeverAskedTwiceAtATimeAndIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t, Options{Timeout: 2500 * time.Millisecond})
		b.source.Store(1)
		release := b.store.hold()
		pass(3 * time.Second) // began at 1 s
		if s := b.Stats(); !s.Working || s.Skipped != 2 {
			t.Errorf("after 2 s of saving: got %+v", s)
		}
		pass(7 * time.Second)
		b.wantStats(t, Stats{Skipped: 9, LastError: "a save has been under way for more than 2.5s"})
		if len(b.log.lines) != 1 {
			t.Errorf("want one line, got %q", b.log.lines)
		}
		release()
		pass(0)
		if s := b.Stats(); !s.Working || s.Writes != 1 || b.log.containing("saved again") != 1 {
			t.Errorf("after it has answered: got %+v, log %q", s, b.log.lines)
		}
		b.stop()
	})
}

func TestEndWaitsForTheSaveThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t, Options{})
		release := b.store.hold()
		b.source.Store(1)
		pass(time.Second)
		b.source.Store(2)
		time.AfterFunc(time.Second, release)
		b.stop()
		if s, saves := b.store.saved(); requests(s) != 2 || saves != 2 {
			t.Errorf("the last state counts %d after %d saves, want 2 after 2", requests(s), saves)
		}
	})
}

func TestStoreThatHangsDoesNotKeepTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t, Options{})
		release := b.store.hold()
		b.source.Store(1)
		pass(time.Second)
		began := time.Now()
		b.stop()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("Run took %v to end, want 2s", took)
		}
		if s := b.Stats(); s.Working || !strings.Contains(s.LastError, "given up") {
			t.Errorf("got %+v, want a failure", s)
		}
		release() // let the goroutine go that was left behind
		pass(0)
	})
}

// recoverAt recovers s, which the store holds beside err, at the time now.
func recoverAt(t *testing.T, s State, err error, now time.Time) (State, Recovery, error) {
	t.Helper()
	k := NewKeeper(Options{
		Store:  &memory{state: s, err: err},
		Source: new(counter).state,
		Now:    func() time.Time { return now },
	})
	return k.Recover(t.Context())
}

func TestRecoveredWindowIsAged(t *testing.T) {
	for name, test := range map[string]struct {
		after    time.Duration
		coverage float64
		buckets  int
	}{
		"at once":                     {0, 1, 2},
		"the older bucket just in":    {time.Second, 0.9, 2},
		"the older bucket just out":   {time.Second + 10*time.Millisecond, 0.899, 1},
		"after most of the window":    {9 * time.Second, 0.1, 1},
		"after the window":            {10 * time.Second, 0, 0},
		"after a day":                 {24 * time.Hour, 0, 0},
		"clock a little behind":       {-5 * time.Millisecond, 1, 2},
		"clock behind, but tolerable": {-time.Second, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			want := sampleState()
			s, rec, err := recoverAt(t, want, nil, noon.Add(test.after))
			if err != nil {
				t.Fatal(err)
			}
			wantRec := Recovery{Source: "memory", Age: max(0, test.after), WindowCoverage: test.coverage, Restarts: 4}
			if d := cmp.Diff(wantRec, rec); d != "" {
				t.Errorf("recovery differs (-want +got):\n%s", d)
			}
			if n := len(s.Windows["default"]); n != test.buckets {
				t.Errorf("%d buckets are left, want %d", n, test.buckets)
			}
			if d := diff(State{Totals: want.Totals}, State{Totals: s.Totals}); d != "" {
				t.Errorf("totals differ (-want +got):\n%s", d)
			}
		})
	}
}

func TestClockThatWentBackCostsTheWindowsOnly(t *testing.T) {
	future := sampleState()
	future.SavedAt = noon
	future.Windows["default"][1].Start = noon.Add(time.Minute)
	for name, test := range map[string]struct {
		state State
		now   time.Time
		back  string
	}{
		"saved in the future":  {sampleState(), noon.Add(-time.Hour), "1h0m0s"},
		"bucket in the future": {future, noon, "1m0s"},
	} {
		s, rec, err := recoverAt(t, test.state, nil, test.now)
		if err != nil || len(s.Windows) != 0 || rec.WindowCoverage != 0 || rec.Age != 0 {
			t.Errorf("%s: got windows %v, %+v, %v; want no windows", name, s.Windows, rec, err)
		}
		if !maps.EqualFunc(s.Totals, test.state.Totals, maps.Equal) {
			t.Errorf("%s: got totals %v, want %v", name, s.Totals, test.state.Totals)
		}
		if !strings.Contains(rec.Problem, "clock went back by "+test.back) {
			t.Errorf("%s: got problem %q", name, rec.Problem)
		}
	}
}

func TestFirstStartRecoversNothingWithoutAnError(t *testing.T) {
	if s, rec, err := recoverAt(t, State{}, nil, noon); !s.IsZero() || rec != (Recovery{}) || err != nil {
		t.Errorf("got %v, %+v, %v; want nothing", s, rec, err)
	}
}

func TestProblemIsReportedBesideWhatCouldBeRecovered(t *testing.T) {
	damaged := &DamagedError{Why: "it is empty"}
	s, rec, err := recoverAt(t, State{}, damaged, noon)
	if !errors.Is(err, damaged) || !s.IsZero() || rec != (Recovery{Problem: damaged.Error()}) {
		t.Errorf("nothing left: got %v, %+v, %v", s, rec, err)
	}
	s, rec, err = recoverAt(t, sampleState(), damaged, noon)
	if !errors.Is(err, damaged) || s.Sequence != 42 || rec.Source != "memory" || rec.Problem != damaged.Error() {
		t.Errorf("an older state left: got %v, %+v, %v", s, rec, err)
	}
}

// What is saved after a recovery continues the line of what was recovered.
func TestRecoveredLineIsContinuedThroughRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &FileStore{Path: filepath.Join(t.TempDir(), "recovery.json")}
		var total int64
		for restarts := range int64(3) {
			source := func() State {
				return State{Totals: map[string]map[string]int64{"default": {"msg_req": total}}}
			}
			k := NewKeeper(Options{Store: store, Source: source, Interval: time.Hour})
			s, rec, err := k.Recover(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := requests(s); got != total || rec.Restarts != restarts || s.Sequence != uint64(restarts) {
				t.Errorf("start %d: recovered %d, %+v, sequence %d; want %d", restarts, got, rec, s.Sequence, total)
			}
			total += 5
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			k.Run(ctx) // only its last save
		}
	})
}
