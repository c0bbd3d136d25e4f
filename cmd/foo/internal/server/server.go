package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// DefaultMaxLine is the longest line that a server takes if it is not told
// otherwise.
const DefaultMaxLine = 1 << 20

const (
	acceptPause = 10 * time.Millisecond // when descriptors have run out
	stopTimeout = 5 * time.Second       // for a client that takes no answers while the server stops
	lingerTime  = time.Second           // for a client to take the last answers
)

// Options configures a Server. The zero value echoes at once.
type Options struct {
	// NAK is the share of requests, 0 to 1, that is refused. A NAK carries the
	// same Data as the ACK would.
	NAK float64
	// Delay is the time from a request to its answer, DelaySpread how much it
	// may differ from that, more or less, evenly distributed. Delays alone
	// don't change the order of answers.
	Delay, DelaySpread time.Duration
	// OutOfOrder makes each answer that is due that of any of the connection's
	// outstanding requests.
	OutOfOrder bool
	// ResponseSize is the length of an answer's Data: the request's own, cut or
	// padded with dots. Zero echoes the request's Data.
	ResponseSize int
	// MaxLine bounds a line. A longer one can't be decoded. Zero means
	// DefaultMaxLine.
	MaxLine int
	// Seed makes refusals, delays and order repeatable for each connection, in
	// the order in which connections are accepted.
	Seed uint64
}

// Validate reports what makes no sense.
func (o Options) Validate() error {
	switch {
	case !(o.NAK >= 0 && o.NAK <= 1):
		return fmt.Errorf("share of NAKs is %v, it has to be from 0 to 1", o.NAK)
	case o.Delay < 0 || o.DelaySpread < 0:
		return fmt.Errorf("delay is %v and its spread %v, they can't be negative", o.Delay, o.DelaySpread)
	case o.DelaySpread > o.Delay:
		return fmt.Errorf("spread of the delay is %v, it can't exceed the delay of %v", o.DelaySpread, o.Delay)
	case o.ResponseSize < 0:
		return fmt.Errorf("response size is %d, it can't be negative", o.ResponseSize)
	case o.MaxLine < 0:
		return fmt.Errorf("longest line is %d bytes, it can't be negative", o.MaxLine)
	}
	return nil
}

// late reports whether answers do not leave at once and in order.
func (o Options) late() bool { return o.Delay > 0 || o.OutOfOrder }

// Stats counts what a server did.
type Stats struct {
	Connections int64 `json:"connections"`
	// Requests were read. ACKs and NAKs are the answers to them that were
	// written to the end.
	Requests int64 `json:"requests"`
	ACKs     int64 `json:"acks"`
	NAKs     int64 `json:"naks"`
	// Undecodable lines were answered "NAK 0 ERRDECODE", which is not among
	// NAKs. A last line without its end is not answered, and not counted.
	Undecodable int64 `json:"undecodable"`
	// Unexpected are the well-formed messages that are no requests. They are
	// not answered.
	Unexpected int64 `json:"unexpected"`
}

// received counts a message that was read.
func (s *Stats) received(kind protocol.Kind) {
	switch kind {
	case protocol.Request:
		s.Requests++
	case protocol.Positive, protocol.Negative:
		s.Unexpected++
	}
}

// answered counts an answer. The kind of "NAK 0 ERRDECODE" is Malformed.
func (s *Stats) answered(kind protocol.Kind) {
	switch kind {
	case protocol.Positive:
		s.ACKs++
	case protocol.Negative:
		s.NAKs++
	case protocol.Malformed:
		s.Undecodable++
	}
}

func (s *Stats) add(o Stats) {
	s.Connections += o.Connections
	s.Requests += o.Requests
	s.ACKs += o.ACKs
	s.NAKs += o.NAKs
	s.Undecodable += o.Undecodable
	s.Unexpected += o.Unexpected
}

// Server is a Foo server. Use New.
type Server struct {
	opts Options

	mu    sync.Mutex // guards stats
	stats Stats
}

// New returns a server. The options have to be valid.
func New(o Options) *Server {
	if o.MaxLine == 0 {
		o.MaxLine = DefaultMaxLine
	}
	return &Server{opts: o}
}

// Stats returns what the server did so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *Server) count(more Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.add(more)
}

// Serve accepts connections from l and serves them until ctx ends, then stops
// as the package comment says. It closes l. The error is nil after ctx ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx) // a listener that failed stops the connections too
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	defer func() { _ = l.Close() }()
	for id := uint64(1); ; {
		nc, err := l.Accept()
		switch {
		case err == nil:
			c := s.newConn(nc, id)
			conns.Go(func() { c.serve(ctx) })
			id++
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
		default:
			return fmt.Errorf("accept connections: %w", err)
		}
	}
}

func (s *Server) newConn(nc net.Conn, id uint64) *conn {
	return &conn{
		server: s,
		nc:     nc,
		in:     wire.NewReader(nc, s.opts.MaxLine),
		random: rand.New(rand.NewPCG(s.opts.Seed, id)), //nolint:gosec // repeatable on purpose
	}
}
