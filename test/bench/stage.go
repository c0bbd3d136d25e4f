//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

const (
	readyTimeout = 15 * time.Second
	stopTimeout  = 15 * time.Second
	pollPeriod   = 20 * time.Millisecond
)

// A stage is what the subjects of a workload have in common: where they run, and
// the server behind them.
type stage struct {
	programs    programs.Programs
	dir         string
	place       placement
	oneCore     bool
	connections int // that a subject has at most

	server   processes
	files    int    // that it has open without connections
	upstream string // its address
	stop     func() // ends the server
}

// serve starts the server.
func (s *stage) serve(ctx context.Context) error {
	var server *programs.Server
	process, stop, err := s.launch(ctx, func(life context.Context) (*programs.Process, error) {
		var err error
		if server, err = s.programs.Serve(life); err != nil {
			return nil, err
		}
		return server.Process, nil
	})
	if err != nil {
		return err
	}
	s.server, s.upstream, s.stop = processes{process.PID()}, server.Address, stop
	if s.files, err = s.server.descriptors(); err != nil {
		stop()
	}
	return err
}

// launch starts a process where the stage has its place. It outlives ctx, so
// that it can end in good order: one that is killed leaves its children behind.
func (s *stage) launch(
	ctx context.Context, start func(life context.Context) (*programs.Process, error),
) (p *programs.Process, stop func(), err error) {
	life, kill := context.WithCancel(context.WithoutCancel(ctx))
	err = s.place.start(func() (err error) {
		p, err = start(life)
		return err
	})
	if err != nil {
		kill()
		return nil, nil, err
	}
	return p, func() {
		defer kill()
		_ = p.Signal(syscall.SIGTERM) // It may have ended.
		select {
		case <-p.Ended():
		case <-time.After(stopTimeout):
			kill()
			<-p.Ended()
		}
	}, nil
}

// awaitAnswer waits until a request to the address is answered, or the process
// that should see to that has ended.
func awaitAnswer(ctx context.Context, address string, p *programs.Process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, errors.New("it takes too long"))
	defer cancel()
	for {
		conn, err := ask(ctx, address)
		if err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-p.Ended():
			return fmt.Errorf("%s has ended: %s%s", p, p.Stdout, p.Stderr)
		case <-ctx.Done():
			return fmt.Errorf("wait until %s answers: %w: %w", p, context.Cause(ctx), err)
		case <-time.After(pollPeriod):
		}
	}
}

// ask opens a connection, sends one request over it and awaits its answer.
func ask(ctx context.Context, address string) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(readyTimeout)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	answer := ""
	if _, err = io.WriteString(conn, "REQ 1 hello\n"); err == nil {
		answer, err = bufio.NewReader(conn).ReadString('\n')
	}
	if err == nil && answer != "ACK 1 hello\n" {
		err = fmt.Errorf("the answer is %q", answer)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// pause waits for d. It returns an error at once when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
