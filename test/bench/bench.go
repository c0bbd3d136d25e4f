//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

// bench is one run of this program.
type bench struct {
	options
	dir      string // for all that is needed while it runs
	log      io.Writer
	programs programs.Programs
	results  results
	failures int
}

// say tells how far the run is.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.log, format+"\n", args...) }

// leaveOut notes what is not measured, and why.
func (b *bench) leaveOut(what string, why error) {
	note := fmt.Sprintf("%s: %v", what, why)
	b.say("left out: %s", note)
	if !slices.Contains(b.results.LeftOut, note) {
		b.results.LeftOut = append(b.results.LeftOut, note)
	}
}

// build builds the programs that are needed.
func (b *bench) build(ctx context.Context) (err error) {
	b.say("building the programs")
	if b.programs, err = programs.Build(ctx, b.dir, "-trimpath"); err != nil {
		return err
	}
	const iocopy = "github.com/foo-protocol/foo-sidecar/test/bench/iocopy"
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.programs.Path("iocopy"), iocopy)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build iocopy: %w\n%s", err, out)
	}
	return nil
}

// Modes of measuring.
const (
	oneCore  = "one core"
	unpinned = "unpinned"
)

// measureAll measures each workload in each mode.
func (b *bench) measureAll(ctx context.Context) (err error) {
	b.results.Rounds, b.results.SliceSeconds = b.rounds, b.slice.Seconds()
	b.subjects = slices.DeleteFunc(slices.Clone(b.subjects), func(s subject) bool {
		missing := s.available != nil && !s.available(ctx)
		if missing {
			b.leaveOut(s.name, errors.New("it is not installed (Debian: apt-get install "+s.packages+")"))
		}
		return missing
	})
	all, err := allowed()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, confine(all)) }()
	if b.oneCore {
		place, err := onOneCore(all, b.core)
		if err == nil {
			err = b.measureMode(ctx, oneCore, place)
		}
		if err != nil {
			return err
		}
	}
	if b.spread {
		return b.measureMode(ctx, unpinned, placement{measured: all, own: all})
	}
	return nil
}

func (b *bench) measureMode(ctx context.Context, mode string, place placement) error {
	if err := confine(place.own); err != nil {
		return err
	}
	for _, w := range b.workloads {
		measure := b.takeTurns
		if w.idle {
			measure = b.measureMemory
		}
		if err := measure(ctx, mode, place, w); err != nil {
			return fmt.Errorf("%s, %s: %w", mode, w.name, err)
		}
	}
	return nil
}

// prepare starts the server for a workload.
func (b *bench) prepare(ctx context.Context, mode string, place placement, w workload) (*stage, error) {
	s := &stage{
		programs: b.programs, dir: b.dir, place: place,
		oneCore: mode == oneCore, connections: w.connections,
	}
	if err := s.serve(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// takeTurns measures the subjects of a workload in turn. All of them run all the
// time, so that the turns of a round follow one another closely, and no figure
// has a part that comes from the start.
func (b *bench) takeTurns(ctx context.Context, mode string, place placement, w workload) error {
	s, err := b.prepare(ctx, mode, place, w)
	if err != nil {
		return err
	}
	defer s.stop()
	proxies, stop := b.startAll(ctx, s, mode, w)
	defer stop()
	// The first turn of each finds everything cold, and does not count.
	for round := 0; round <= w.turns(b.rounds) && len(proxies) > 0; round++ {
		order := slices.Clone(proxies)
		if round%2 == 0 { // None is always the first.
			slices.Reverse(order)
		}
		for _, p := range order {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			m, err := s.turn(ctx, w, p, w.turn(b.slice))
			if err != nil {
				b.fail(ctx, mode, w, p.name, err)
				proxies = slices.DeleteFunc(proxies, func(other *proxy) bool { return other == p })
				continue
			}
			m.Mode, m.Round = mode, round
			b.say("%s, %s, round %d of %d, %s: %s requests/s, %.2f us of processor time a pair",
				mode, w.name, round, w.turns(b.rounds), p.name, grouped(m.Rate), m.CPU)
			if round > 0 {
				b.results.Measurements = append(b.results.Measurements, m)
			}
		}
	}
	return b.traceAll(ctx, mode, s, w, proxies)
}

// taking returns the subjects that take part in a workload.
func (b *bench) taking(w workload) (part []subject) {
	for _, sub := range b.subjects {
		if sub.in != nil && !slices.Contains(sub.in, w.name) {
			continue
		}
		if err := sub.feasible(w); err != nil {
			b.leaveOut(sub.name+" with "+w.name, err)
			continue
		}
		part = append(part, sub)
	}
	return part
}

// startAll starts the subjects that take part in a workload.
func (b *bench) startAll(ctx context.Context, s *stage, mode string, w workload) (proxies []*proxy, stop func()) {
	for _, sub := range b.taking(w) {
		if ctx.Err() != nil {
			break
		}
		p, err := s.begin(ctx, sub)
		if err != nil {
			b.fail(ctx, mode, w, sub.name, err)
			continue
		}
		proxies = append(proxies, p)
	}
	started := slices.Clone(proxies)
	return proxies, func() {
		for _, p := range started {
			p.stop()
		}
	}
}

// begin starts a subject.
func (s *stage) begin(ctx context.Context, sub subject) (*proxy, error) {
	p, err := sub.start(ctx, s)
	if err != nil {
		return nil, err
	}
	p.subject = sub
	return p, nil
}

// fail notes that a subject could not be measured, unless somebody has ended the
// run.
func (b *bench) fail(ctx context.Context, mode string, w workload, subject string, err error) {
	if ctx.Err() == nil {
		b.failures++
		b.leaveOut(fmt.Sprintf("%s with %s, %s", subject, w.name, mode), err)
	}
}
