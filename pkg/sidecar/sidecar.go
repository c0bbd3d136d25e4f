package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/foo-protocol/foo-sidecar/config"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// Options configures a sidecar.
type Options struct {
	// Config says where the configuration comes from.
	Config config.Options
	// Version is shown in statistics and metrics.
	Version string
	// Log is where the sidecar logs; the configuration sets its level and format.
	// Required.
	Log *telemetry.Logger
	// Stdout is given the statistics when they are asked for through Report, one
	// line in one write. Required.
	Stdout io.Writer
	// Report asks for the statistics, Reload for a reload of the configuration.
	// They must not be closed. Nil: nobody asks.
	Report, Reload <-chan struct{}
}

// sidecar is the process: what runs, and what is known of it.
type sidecar struct {
	options  Options
	log      *telemetry.Logger
	registry *telemetry.Registry
	now      func() time.Duration
	group    *errgroup.Group // of everything that runs

	applying  sync.Mutex  // held while a change is made, and from the shutdown on
	retry     *time.Timer // fires when a change that could not be made is tried again
	listeners listeners
	upstreams upstreams
	admin     adminServer
	keeper    keeper
	state     state

	observation observation
}

// Run runs a sidecar until ctx ends, and then shuts it down; see the package
// comment. It returns an error if the sidecar can't start, or can't go on.
func Run(ctx context.Context, o Options) error {
	since := config.Fingerprint(o.Config.Path())
	cfg, invalid, err := load(o.Config)
	if err != nil {
		return err
	}
	start := time.Now()
	now := func() time.Duration { return time.Since(start) }

	// What serves has a life of its own, which the shutdown ends step by step.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, serving := errgroup.WithContext(serving)
	s := &sidecar{
		options:  o,
		log:      o.Log,
		now:      now,
		registry: telemetry.NewRegistry(telemetry.Options{Now: now}),
		group:    group,
		retry:    time.NewTimer(time.Hour),
	}
	s.retry.Stop()
	s.newObservation()
	s.state.wanted(cfg, invalid)
	s.setLog(cfg.Log)
	if invalid != nil {
		s.log.Error(invalid, "the configuration is invalid, starting with the last good one")
	}
	if err := s.start(serving, cfg); err != nil {
		return err
	}
	background, stopBackground := context.WithCancel(serving)
	defer stopBackground()
	group.Go(func() error { s.report(background); return nil })
	group.Go(func() error { s.observation.history.Run(background); return nil })
	group.Go(func() error { s.probe(background); return nil })
	var watchErr error
	watched := make(chan struct{}) // closed when watchErr is set
	go func() {
		defer close(watched)
		watchErr = s.watch(background, since)
	}()

	select {
	case <-ctx.Done():
	case <-serving.Done(): // a part has failed
	case <-watched: // and so has this one
	}
	stopBackground()
	s.shutdown(serving)
	stop()
	err = group.Wait()
	select {
	case <-watched:
		if watchErr != nil {
			err = errors.Join(err, fmt.Errorf("watch the configuration: %w", watchErr))
		}
	case <-time.After(time.Second):
		// Its file system hangs. The goroutine is left behind with the process.
		s.log.Info("the configuration file can't be read, ending without it")
	}
	return err
}

// start restores what was counted and puts the first configuration in force.
func (s *sidecar) start(ctx context.Context, cfg config.Config) error {
	if err := s.recover(ctx, cfg); err != nil {
		return err
	}
	change, err := s.prepare(ctx, cfg)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	s.startInspector(ctx)
	s.inForce(ctx, change)
	s.keepLastGood(cfg)
	s.log.Info("sidecar started", "version", s.options.Version, "config", config.Hash(cfg), "generation", s.state.get().Generation)
	return nil
}

// report prints the statistics whenever they are asked for.
func (s *sidecar) report(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.options.Report:
			line, err := s.snapshot().Stats().MarshalLine()
			if err == nil {
				_, err = s.options.Stdout.Write(line)
			}
			if err != nil {
				s.log.Error(err, "cannot print the statistics")
			}
		}
	}
}

// shutdown ends what serves; the package comment has the list.
func (s *sidecar) shutdown(ctx context.Context) {
	s.state.drain()   // 1
	s.applying.Lock() // a change that is being made is finished, and no other begins
	defer s.applying.Unlock()
	cfg := s.state.config()
	s.log.Info("draining", "delay", cfg.Drain.Delay.String(), "timeout", cfg.Drain.Timeout.String(), "connections", s.listeners.sessions())
	if cfg.Drain.Delay > 0 {
		select { // 2
		case <-time.After(time.Duration(cfg.Drain.Delay)):
		case <-ctx.Done(): // a part has failed; nothing to wait for
		}
	}
	s.listeners.stopAccepting() // 3
	finish, cancel := context.WithTimeout(ctx, time.Duration(cfg.Drain.Timeout))
	defer cancel()
	s.listeners.drain(finish) // 4, and 5 when finish ends
	s.keeper.stop()           // 6
	s.stopObservation()       // 7
	s.admin.stop()            // 8
	total := s.snapshot().All.Counts
	s.log.Info("sidecar stopped", "uptime", s.now().String(), "requestsInUptime", total.ClientRequests(), "unanswered", total.UnansweredTotal())
}
