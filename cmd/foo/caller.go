package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"sync"
	"time"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
)

// maxAnswer is the longest answer that foo call prints.
const maxAnswer = 64 << 20

// caller sends requests on one connection and prints their answers.
type caller struct {
	timeout time.Duration // zero is forever
	print   func(wire.Message) error
	warn    func(string)

	conn net.Conn
	naks bool // of the receiver

	mu          sync.Mutex // guards what follows, and the read deadline
	sent        int
	outstanding map[int64]struct{}
	complete    bool  // there is nothing more to send
	sendErr     error // why, if it is not the end of the requests
}

// call does all of it. The error chooses the exit code.
func (c *caller) call(ctx context.Context, address string, requests iter.Seq2[string, error]) error {
	conn, err := c.dial(ctx, address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	return c.talk(ctx, conn, requests)
}

// talk sends the requests over conn, which it closes.
func (c *caller) talk(ctx context.Context, conn net.Conn, requests iter.Seq2[string, error]) error {
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c.conn = conn
	c.outstanding = map[int64]struct{}{}

	// The sender is not waited for: it may be waiting for a line of standard
	// input, and nothing but the end of the process ends that.
	go c.send(requests)
	if err := c.receive(); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return fmt.Errorf("%w, %d of %d requests unanswered", err, len(c.outstanding), c.sent)
	}
	if c.naks {
		return &cli.ExitError{Code: codeNAK}
	}
	return nil
}

func (c *caller) dial(ctx context.Context, address string) (net.Conn, error) {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	return wire.Dial(ctx, address)
}

// send sends the requests. The time for an answer begins anew with each.
func (c *caller) send(requests iter.Seq2[string, error]) {
	var line []byte
	seq := int64(0)
	for data, err := range requests {
		if err == nil {
			seq++
			line = foo.Append(line[:0], protocol.Request, seq, data)
			c.expect(seq)
			if _, err = c.conn.Write(line); err != nil {
				err = fmt.Errorf("send request %d: %w", seq, err)
			}
		}
		if err != nil {
			c.done(err)
			return
		}
	}
	c.done(nil)
}

func (c *caller) expect(seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent++
	c.outstanding[seq] = struct{}{}
	c.extend()
}

// done ends sending. The receiver is woken up if it has nothing to wait for.
func (c *caller) done(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.complete, c.sendErr = true, err
	if len(c.outstanding) == 0 || err != nil {
		_ = c.conn.SetReadDeadline(time.Now())
	}
}

// extend lets the receiver wait for the next answer. c.mu must be held.
func (c *caller) extend() {
	var deadline time.Time
	if c.timeout > 0 && len(c.outstanding) > 0 {
		deadline = time.Now().Add(c.timeout)
	}
	_ = c.conn.SetReadDeadline(deadline)
}

// receive prints answers until all requests are answered.
func (c *caller) receive() error {
	in := wire.NewReader(c.conn, maxAnswer)
	for {
		readErr := in.Fill()
		for m, ok := in.Next(); ok; m, ok = in.Next() {
			if err := c.answer(m); err != nil {
				return err
			}
		}
		if done, err := c.progress(readErr); done || err != nil {
			return err
		}
	}
}

// answer takes one message.
func (c *caller) answer(m wire.Message) error {
	if m.Kind != protocol.Positive && m.Kind != protocol.Negative {
		c.warn("received a line that is no answer")
		return nil
	}
	if err := c.print(m); err != nil {
		return fmt.Errorf("print an answer: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.outstanding[m.ID]; !ok {
		c.warn(fmt.Sprintf("the answer to %d answers no request", m.ID))
		return nil
	}
	delete(c.outstanding, m.ID)
	c.naks = c.naks || m.Kind == protocol.Negative
	c.extend()
	return nil
}

// progress reports after a read whether all is done, or what went wrong.
func (c *caller) progress(readErr error) (done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	timedOut := errors.Is(readErr, os.ErrDeadlineExceeded)
	switch {
	case c.complete && c.sendErr == nil && len(c.outstanding) == 0:
		return true, nil
	case readErr == nil:
		return false, nil
	case timedOut && c.sendErr != nil:
		return false, c.sendErr
	case timedOut:
		return false, fmt.Errorf("no answer within %v", c.timeout)
	case errors.Is(readErr, io.EOF):
		return false, errors.New("the server closed the connection")
	}
	return false, fmt.Errorf("receive answers: %w", readErr)
}
