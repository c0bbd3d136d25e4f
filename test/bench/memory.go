//go:build linux

package main

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Idle is what idle connections take of a proxy.
type Idle struct {
	Connections int `json:"connections"`
	// AtRest is what it holds before the first connection.
	AtRest Memory `json:"at_rest_bytes"`
	// PerConnection is what each adds, in bytes.
	Resident    float64 `json:"resident_bytes_per_connection"`
	Private     float64 `json:"private_bytes_per_connection"`
	Descriptors float64 `json:"descriptors_per_connection"`
}

// restTime is how long a proxy has to come to rest.
const restTime = time.Second

// measureMemory measures the subjects one after the other, each with a process
// that is new each time: one that had connections before keeps memory for more.
func (b *bench) measureMemory(ctx context.Context, mode string, place placement, w workload) error {
	s, err := b.prepare(ctx, mode, place, w)
	if err != nil {
		return err
	}
	defer s.stop()
	part := slices.DeleteFunc(b.taking(w), func(sub subject) bool { return sub.name == direct })
	for round := 1; round <= w.turns(b.rounds); round++ {
		for _, sub := range part {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			idle, err := s.idle(ctx, w, sub)
			if err != nil {
				b.fail(ctx, mode, w, sub.name, err)
				continue
			}
			b.say("%s, %s, round %d, %s: %.1f KiB a connection", mode, w.name, round, sub.name, idle.Private/kibibyte)
			b.results.Measurements = append(b.results.Measurements,
				Measurement{Mode: mode, Workload: w.name, Subject: sub.name, Round: round, Idle: idle})
		}
	}
	return ctx.Err()
}

// idle measures what connections take that are idle. Each had one request, so
// that it is there on both sides, and has the buffers that a used one has.
func (s *stage) idle(ctx context.Context, w workload, sub subject) (*Idle, error) {
	ctx, cancel := context.WithTimeout(ctx, slack)
	defer cancel()
	p, err := s.begin(ctx, sub)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	before, filesBefore, err := p.rest(ctx)
	if err != nil {
		return nil, err
	}
	closeAll, err := connect(ctx, p.address, w.connections)
	defer closeAll()
	if err != nil {
		return nil, err
	}
	after, filesAfter, err := p.rest(ctx)
	if err != nil {
		return nil, err
	}
	more, n := after.minus(before), float64(w.connections)
	return &Idle{
		Connections: w.connections, AtRest: before,
		Resident: float64(more.Resident) / n, Private: float64(more.Private) / n,
		Descriptors: float64(filesAfter-filesBefore) / n,
	}, nil
}

// rest returns what the proxy holds when it has come to rest.
func (p *proxy) rest(ctx context.Context) (m Memory, files int, err error) {
	if err := pause(ctx, restTime); err != nil {
		return m, 0, err
	}
	if m, err = p.memory(); err != nil {
		return m, 0, err
	}
	files, err = p.descriptors()
	return m, files, err
}

// connect opens connections, a few at a time, and sends a request over each.
func connect(ctx context.Context, address string, n int) (closeAll func(), err error) {
	const atOnce = 32
	var mu sync.Mutex // guards open
	var open []net.Conn
	var group errgroup.Group
	group.SetLimit(atOnce)
	for range n {
		group.Go(func() error {
			conn, err := ask(ctx, address)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			open = append(open, conn)
			return nil
		})
	}
	err = group.Wait()
	return func() {
		for _, conn := range open {
			conn.Close()
		}
	}, err
}
