package sidecar

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/foo-protocol/foo-sidecar/config"
	"github.com/foo-protocol/foo-sidecar/pkg/checkpoint"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// keeper is the keeping of checkpoints, which moves when its file changes.
type keeper struct {
	mu       sync.Mutex // guards the fields below; nothing blocks under it
	path     string
	store    checkpoint.Store
	keeper   *checkpoint.Keeper // nil while nothing is kept
	end      context.CancelFunc // nil until it runs
	done     chan struct{}      // closed when it has saved for the last time
	recovery *telemetry.Recovered
}

// newKeeper makes a keeper of the file at path the one that is asked about.
func (s *sidecar) newKeeper(cfg config.Checkpoint, listener string) *checkpoint.Keeper {
	log := s.log.WithName("checkpoint")
	store := &checkpoint.FileStore{Path: cfg.Path, Listener: listener, Log: log}
	k := checkpoint.NewKeeper(checkpoint.Options{
		Store:    store,
		Source:   func() checkpoint.State { return toCheckpoint(s.registry.Checkpoint()) },
		Interval: time.Duration(cfg.Interval),
		Log:      log,
	})
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	s.keeper.path, s.keeper.store, s.keeper.keeper = cfg.Path, store, k
	return k
}

// recover goes on from the last checkpoint. Only damage that the configuration
// calls fatal is an error.
func (s *sidecar) recover(ctx context.Context, cfg config.Config) error {
	if cfg.Checkpoint.Path == "" {
		return nil
	}
	k := s.newKeeper(cfg.Checkpoint, cfg.Listeners[0].Name)
	saved, recovery, err := k.Recover(ctx)
	if err != nil {
		if cfg.Checkpoint.OnDamaged == config.OnDamagedFail {
			return fmt.Errorf("recover from %s: %w; move the file away to start without it, or set checkpoint.onDamaged to continue", cfg.Checkpoint.Path, err)
		}
		s.log.Error(err, "the checkpoint is not usable as it is", "path", cfg.Checkpoint.Path, "recoveredFrom", recovery.Source)
	}
	if recovery.Source == "" {
		if err != nil {
			s.keeper.note(&telemetry.Recovered{Damage: err.Error()})
		}
		return nil
	}
	for name := range names(saved) {
		if err := s.registry.Restore(name, saved.Totals[name], toBuckets(saved.Windows[name])); err != nil {
			s.log.Error(err, "part of the checkpoint is not usable", "path", cfg.Checkpoint.Path)
			recovery.Problem = err.Error()
		}
	}
	s.keeper.note(&telemetry.Recovered{
		From:           recovery.Source,
		AgeSeconds:     recovery.Age.Seconds(),
		WindowCoverage: recovery.WindowCoverage,
		Restarts:       recovery.Restarts,
		Damage:         recovery.Problem,
	})
	s.log.Info("recovered", "from", recovery.Source, "age", recovery.Age.String(), "windowCoverage", recovery.WindowCoverage)
	return nil
}

// setKeeper keeps checkpoints as wanted from now on.
func (s *sidecar) setKeeper(ctx context.Context, wanted config.Checkpoint) {
	k := &s.keeper
	k.mu.Lock()
	current, path, running := k.keeper, k.path, k.end != nil
	k.mu.Unlock()
	if path == wanted.Path && running {
		current.SetInterval(time.Duration(wanted.Interval))
		return
	}
	if path != wanted.Path {
		k.stop()
		current = nil
	}
	if wanted.Path == "" {
		return
	}
	if current == nil {
		current = s.newKeeper(wanted, "")
	}
	keeping, end := context.WithCancel(ctx)
	done := make(chan struct{})
	k.mu.Lock()
	k.end, k.done = end, done
	k.mu.Unlock()
	s.group.Go(func() error {
		defer close(done)
		current.Run(keeping)
		return nil
	})
}

// stop returns when the last checkpoint is saved.
func (k *keeper) stop() {
	k.mu.Lock()
	end, done := k.end, k.done
	k.path, k.store, k.keeper, k.end = "", nil, nil, nil
	k.mu.Unlock()
	if end != nil {
		end()
		<-done
	}
}

func (k *keeper) state() telemetry.CheckpointState {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keeper == nil {
		return telemetry.CheckpointState{Working: true}
	}
	stats := k.keeper.Stats()
	state := telemetry.CheckpointState{
		Enabled:     true,
		Store:       k.store.String(),
		Working:     stats.Working,
		Writes:      stats.Writes,
		Failures:    stats.Failures,
		Bytes:       stats.Bytes,
		LastSuccess: stats.LastSuccess,
	}
	if !stats.Working {
		state.LastError = stats.LastError
	}
	return state
}

// note remembers what was recovered, or why nothing could be.
func (k *keeper) note(r *telemetry.Recovered) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.recovery = r
}

func (k *keeper) recovered() *telemetry.Recovered {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.recovery
}

// toCheckpoint returns what is saved of a snapshot.
func toCheckpoint(s telemetry.Snapshot) checkpoint.State {
	state := checkpoint.State{
		SavedAt: s.Time,
		Totals:  make(map[string]map[string]int64),
		Windows: make(map[string][]checkpoint.Bucket),
	}
	for _, listeners := range [][]telemetry.Traffic{s.Listeners, s.Retired} {
		for _, l := range listeners {
			state.Totals[l.Name] = telemetry.Totals(l.Total())
			for _, b := range l.Buckets {
				state.Windows[l.Name] = append(state.Windows[l.Name], checkpoint.Bucket(b))
			}
		}
	}
	return state
}

// names returns the listeners of a saved state.
func names(saved checkpoint.State) map[string]struct{} {
	names := make(map[string]struct{})
	for name := range saved.Totals {
		names[name] = struct{}{}
	}
	for name := range saved.Windows {
		names[name] = struct{}{}
	}
	return names
}

func toBuckets(saved []checkpoint.Bucket) []telemetry.Bucket {
	buckets := make([]telemetry.Bucket, len(saved))
	for i, b := range saved {
		buckets[i] = telemetry.Bucket(b)
	}
	return buckets
}
