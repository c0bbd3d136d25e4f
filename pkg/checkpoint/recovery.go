package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// clockTolerance is how far a time may lie in the future before the clock is
// held to have gone backwards: clocks of two nodes differ a little, and a clock
// is corrected by small steps.
const clockTolerance = time.Second

// Recovery says what was recovered. The zero Recovery says nothing was.
type Recovery struct {
	// Source names the store that the state came from, empty if there was none.
	Source string
	// Age is how long ago the state was saved.
	Age time.Duration
	// WindowCoverage is the share of the moving window before now that the state
	// knows of, from 0 to 1: after 3 s without a process it is 0.7.
	WindowCoverage float64
	// Restarts is how many processes have gone on from a state of this line, this
	// one included.
	Restarts int64
	// Problem says what went wrong, empty if nothing did.
	Problem string
}

// Recover loads the last state, without what is too old to matter. Call it
// before Run, so that the states to come continue its line.
//
// The error says what could not be read; what could, an older state perhaps, is
// returned all the same. An error is never a reason not to Run. That nothing
// was ever saved is no error.
func (k *Keeper) Recover(ctx context.Context) (State, Recovery, error) {
	s, err := k.opts.Store.Load(ctx)
	if errors.Is(err, ErrNone) {
		return State{}, Recovery{}, nil
	}
	var rec Recovery
	if err != nil {
		rec.Problem = err.Error()
	}
	if s.IsZero() {
		return State{}, rec, err
	}
	now := k.opts.Now()
	rec.Source = k.opts.Store.String()
	rec.Age = max(0, now.Sub(s.SavedAt))
	rec.Restarts = s.Restarts + 1
	if ahead := ahead(s, now); ahead > clockTolerance {
		s.Windows = nil
		rec.Problem = joinProblems(rec.Problem, fmt.Sprintf(
			"the clock went back by %v, so the moving windows were dropped", ahead.Round(time.Millisecond)))
	} else {
		s.Windows = young(s.Windows, now)
		rec.WindowCoverage = max(0, float64(Window-rec.Age)/float64(Window))
	}
	k.sequence, k.restarts = s.Sequence, rec.Restarts
	return s, rec, err
}

// ahead returns by how much the latest time in s is later than now.
func ahead(s State, now time.Time) time.Duration {
	most := s.SavedAt.Sub(now)
	for _, buckets := range s.Windows {
		for _, b := range buckets {
			most = max(most, b.Start.Sub(now))
		}
	}
	return most
}

func joinProblems(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
