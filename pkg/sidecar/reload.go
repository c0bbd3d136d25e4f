package sidecar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"syscall"
	"time"

	"github.com/foo-protocol/foo-sidecar/config"
)

// load returns the configuration to start with. If its file is invalid, but one
// that was good before has been kept and may be used, that one is returned
// together with what is wrong.
func load(o config.Options) (cfg config.Config, invalid, err error) {
	cfg, err = config.Load(o)
	wrong, ok := errors.AsType[*config.InvalidError](err)
	if !ok || !wrong.FromFile() || wrong.Salvaged.Reload.OnInvalid != config.OnInvalidLastGood {
		return cfg, nil, err
	}
	path := config.LastGoodPath(wrong.Salvaged.Checkpoint.Path)
	if path == "" {
		return cfg, nil, err
	}
	kept, keptErr := config.LoadLastGood(path, o)
	switch {
	case errors.Is(keptErr, os.ErrNotExist):
		return cfg, nil, err
	case keptErr != nil:
		return cfg, nil, fmt.Errorf("%w\nthe last good configuration can't be used either: %w", err, keptErr)
	}
	return kept, err, nil
}

// watch reloads the configuration whenever its file changes or somebody asks
// for it, until ctx ends.
func (s *sidecar) watch(ctx context.Context, since string) error {
	if s.options.Config.Path() == "" {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-s.options.Reload:
			case <-s.retry.C:
			}
			s.reload(ctx)
		}
	}
	trigger := make(chan struct{})
	s.group.Go(func() error { s.ask(ctx, trigger); return nil })
	return config.Watch(ctx, config.WatchOptions{
		File:         s.options.Config.Path(),
		Since:        since,
		Changed:      func(bool) { s.reload(ctx) },
		Trigger:      trigger,
		PollInterval: func() time.Duration { return time.Duration(s.state.config().Reload.PollInterval) },
		Warn: func(err error) {
			s.log.Error(err, "configuration changes are noticed late", "pollInterval", s.state.config().Reload.PollInterval.String())
		},
	})
}

// ask passes on the wishes for a reload: those of others, and our own to try a
// change again.
func (s *sidecar) ask(ctx context.Context, trigger chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.options.Reload:
		case <-s.retry.C:
		}
		select {
		case <-ctx.Done():
			return
		case trigger <- struct{}{}:
		}
	}
}

// reload loads the configuration and puts it in force. On any error what runs
// goes on as it is. What failed for another reason than the document, such as an
// address in use, is tried again.
func (s *sidecar) reload(ctx context.Context) {
	cfg, err := config.Load(s.options.Config)

	s.applying.Lock()
	defer s.applying.Unlock()
	if ctx.Err() != nil { // the shutdown has begun
		return
	}
	s.retry.Stop()
	if err == nil && reflect.DeepEqual(cfg, s.state.config()) {
		if s.state.confirmed() {
			s.log.Info("configuration is good again, nothing changed", "generation", s.state.get().Generation)
		}
		return
	}
	var c *change
	if err == nil {
		if c, err = s.prepare(ctx, cfg); err != nil {
			err = s.explain(err)
			s.retry.Reset(time.Duration(s.state.config().Reload.PollInterval))
		}
	}
	if err != nil {
		if s.state.refused(err) {
			s.log.Error(err, "configuration not reloaded, the last good one stays in force", "generation", s.state.get().Generation)
		}
		return
	}
	s.inForce(ctx, c)
	s.state.accepted(cfg)
	s.keepLastGood(cfg)
	s.log.Info("configuration reloaded", "generation", s.state.get().Generation, "config", config.Hash(cfg))
}

// change is a configuration that has been prepared and can be put in force.
type change struct {
	config    config.Config
	upstreams upstreamPlan
	sockets   *socketPlan
	admin     *adminPlan

	observation *observationPlan
}

// prepare does all of a change that can fail. On error nothing has changed.
func (s *sidecar) prepare(ctx context.Context, cfg config.Config) (*change, error) {
	sockets, err := s.listeners.plan(ctx, cfg.Listeners)
	if err != nil {
		return nil, err
	}
	admin, err := s.admin.plan(ctx, cfg.Admin)
	if err != nil {
		sockets.abandon()
		return nil, err
	}
	return &change{
		config:    cfg,
		upstreams: s.upstreams.plan(cfg.Upstreams, s.log.WithName("upstream")),
		sockets:   sockets,
		admin:     admin,

		observation: s.planObservation(ctx, cfg.Telemetry),
	}, nil
}

// explain adds what to do to an error of opening a socket in a reload.
func (s *sidecar) explain(err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	return fmt.Errorf("%w\nanother process listens there, or this sidecar itself with an overlapping address: "+
		"give that one up first, in a change of its own; it is tried again each %s", err, s.state.config().Reload.PollInterval)
}

// setLog sets level and format of the log, which were checked with the
// configuration.
func (s *sidecar) setLog(l config.Log) {
	if err := errors.Join(s.log.SetLevel(string(l.Level)), s.log.SetFormat(string(l.Format))); err != nil {
		panic("BUG: the configuration was not checked: " + err.Error())
	}
}

// inForce does the rest of a change.
func (s *sidecar) inForce(ctx context.Context, c *change) {
	s.setLog(c.config.Log)
	s.setObservation(c)
	s.upstreams.set(c.upstreams)
	s.setListeners(ctx, c)
	s.setAdmin(ctx, c)
	s.setKeeper(ctx, c.config.Checkpoint)
}

// keepLastGood keeps a configuration that is in force for the next start.
func (s *sidecar) keepLastGood(cfg config.Config) {
	path := config.LastGoodPath(cfg.Checkpoint.Path)
	if path == "" || s.state.get().Degraded { // it came from there
		return
	}
	if err := config.SaveLastGood(path, cfg); err != nil {
		s.log.Error(err, "cannot keep the configuration for a start with an invalid one", "path", path)
	}
}
