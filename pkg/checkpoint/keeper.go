package checkpoint

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// A Store keeps one state. The Keeper calls it from one goroutine at a time.
type Store interface {
	// Load returns the state that was saved last, or ErrNone. If that can't be
	// used but an older one can, both the state and the error are set.
	Load(ctx context.Context) (State, error)
	// Save replaces the state, and returns how many bytes it took.
	Save(ctx context.Context, s State) (size int, err error)
	// String names the store for people.
	String() string
}

// Options configures a Keeper.
type Options struct {
	// Store is where states go. Required.
	Store Store
	// Source returns the totals and windows as they are now, in maps that nobody
	// changes afterwards. It is called from one goroutine. Required.
	Source func() State
	// Interval is the time between two saves. Zero or less means 1s. SetInterval
	// changes it later.
	Interval time.Duration
	// Timeout bounds one save, and the end of Run, where the one that is under
	// way and the last one share it. Zero means 2s.
	Timeout time.Duration
	// Log is told when saving begins to fail and when it works again. The zero
	// Logger tells nobody.
	Log logr.Logger
	// Now is the wall clock. Nil means time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	o.Interval = intervalOr1s(o.Interval)
	o.Timeout = cmp.Or(o.Timeout, 2*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func intervalOr1s(d time.Duration) time.Duration {
	if d <= 0 {
		return time.Second
	}
	return d
}

// Stats is a snapshot of a Keeper's work.
type Stats struct {
	// Writes and Failures count the saves that succeeded and that failed.
	Writes, Failures int64
	// Skipped counts the intervals without a save, because nothing had changed
	// or because the save before was still under way.
	Skipped int64
	// Bytes is the size of the last state that was saved.
	Bytes int64
	// LastSuccess is when the last save succeeded, zero if none has.
	LastSuccess time.Time
	// LastError is the last failure, whether or not saving works again.
	LastError string
	// Working is false from a failure to the next success, and while a save
	// takes longer than it should.
	Working bool
}

// Keeper saves the state at an interval. Use NewKeeper.
type Keeper struct {
	opts  Options
	boot  string
	renew chan time.Duration // a new interval

	// The fields below belong to Recover and then to Run.
	sequence uint64
	restarts int64
	saved    State     // what the store holds, as far as is known
	underWay State     // what is being saved
	began    time.Time // when that began

	mu     sync.Mutex // guards the fields below; nothing slow happens under it
	stats  Stats
	failed int64 // failures since the last success
}

// NewKeeper returns a Keeper that does nothing until Run.
func NewKeeper(opts Options) *Keeper {
	return &Keeper{
		opts:  opts.withDefaults(),
		boot:  rand.Text(),
		renew: make(chan time.Duration, 1),
		stats: Stats{Working: true},
	}
}

// Stats returns the counts so far. It may be called at any time.
func (k *Keeper) Stats() Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stats
}

// SetInterval changes the time between two saves, beginning now. Zero or
// less means 1s.
func (k *Keeper) SetInterval(d time.Duration) {
	d = intervalOr1s(d)
	for {
		select {
		case k.renew <- d:
			return
		case <-k.renew: // an older one that nobody has seen yet
		}
	}
}

// outcome is what became of a save.
type outcome struct {
	size int
	err  error
}

// Run saves the state at each interval if it has changed, until ctx ends, and
// then once more. So end ctx when everything has been counted. A save runs
// beside the loop, so that a disk that hangs can't keep Run from returning; it
// is then left behind.
func (k *Keeper) Run(ctx context.Context) {
	interval := k.opts.Interval
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var done <-chan outcome // nil while no save is under way
	for {
		select {
		case <-ctx.Done():
			k.finish(ctx, done)
			return
		case d := <-k.renew:
			if d != interval {
				interval = d
				ticker.Reset(d)
			}
		case out := <-done:
			done = nil
			k.ended(out)
		case <-ticker.C:
			if done == nil {
				done = k.begin(ctx)
			} else {
				k.overdue()
			}
		}
	}
}

// finish waits for the save that is under way, if any, and saves what has
// changed since.
func (k *Keeper) finish(ctx context.Context, done <-chan outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.opts.Timeout)
	defer cancel()
	if done != nil && !k.await(ctx, done) {
		return
	}
	if done = k.begin(ctx); done != nil {
		k.await(ctx, done)
	}
}

// await takes the outcome of a save, unless ctx ends before.
func (k *Keeper) await(ctx context.Context, done <-chan outcome) bool {
	select {
	case out := <-done:
		k.ended(out)
		return true
	case <-ctx.Done():
		k.ended(outcome{err: fmt.Errorf("save the last checkpoint: not done after %v, given up", k.opts.Timeout)})
		return false
	}
}

// begin starts to save the state, or returns nil if nothing has changed.
func (k *Keeper) begin(ctx context.Context) <-chan outcome {
	now := k.opts.Now()
	s := k.opts.Source()
	if sameContent(s, k.saved, now) {
		k.mu.Lock()
		k.stats.Skipped++
		k.mu.Unlock()
		return nil
	}
	k.sequence++
	s.SavedAt, s.Boot, s.Sequence, s.Restarts = now, k.boot, k.sequence, k.restarts
	k.underWay, k.began = s, now
	done := make(chan outcome, 1)
	go func() {
		// What was begun is ended, even if the process is told to stop meanwhile.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.opts.Timeout)
		defer cancel()
		size, err := k.opts.Store.Save(ctx, s)
		done <- outcome{size, err}
	}()
	return done
}

// ended notes what became of the save that was under way.
func (k *Keeper) ended(out outcome) {
	k.mu.Lock()
	wasWorking := k.stats.Working
	if out.err != nil {
		k.stats.Failures++
		k.failed++
		k.stats.LastError = out.err.Error()
	} else {
		k.saved = k.underWay
		k.stats.Writes++
		k.stats.Bytes = int64(out.size)
		k.stats.LastSuccess = k.opts.Now()
	}
	k.stats.Working = out.err == nil
	failed := k.failed
	if out.err == nil {
		k.failed = 0
	}
	k.mu.Unlock()

	switch {
	case out.err != nil && wasWorking:
		k.logFailure(out.err)
	case out.err == nil && !wasWorking:
		k.opts.Log.Info("checkpoints are saved again", "store", k.opts.Store.String(), "failures", failed)
	}
}

// overdue notes an interval that passed without a new save because one is under
// way, which is a failure in all but name once it has taken too long.
func (k *Keeper) overdue() {
	late := k.opts.Now().Sub(k.began) > k.opts.Timeout
	k.mu.Lock()
	k.stats.Skipped++
	wasWorking := k.stats.Working
	if late {
		k.stats.Working = false
		k.stats.LastError = fmt.Sprintf("a save has been under way for more than %v", k.opts.Timeout)
	}
	k.mu.Unlock()
	if late && wasWorking {
		k.logFailure(errors.New("the store does not answer"))
	}
}

func (k *Keeper) logFailure(err error) {
	k.opts.Log.Error(err, "checkpoints can't be saved, counts since the last one would be lost in a crash",
		"store", k.opts.Store.String())
}
