package load

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net"
	"os"
	"sync"
	"time"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
)

const (
	maxWrite     = 64 << 10    // bytes of requests in one write, or one request
	maxAnswer    = 64 << 20    // the longest line that is looked at
	lastWords    = time.Second // for the peer to close after us
	filler       = '.'         // of Data behind the token
	headerLength = len("REQ 9223372036854775807 \n")
	never        = time.Duration(math.MaxInt64)
)

// session is the life of one connection: one goroutine sends, one receives.
type session struct {
	*worker
	conn  net.Conn
	token token
	wake  chan struct{} // tells the sender to look again

	// Of the sender.
	seq     int64         // of the request sent last
	ready   time.Duration // since when the next request could have been sent
	data    []byte
	out     []byte
	perSend int // requests in one write
	timer   *time.Timer

	in *wire.Reader // of the receiver

	// Guarded by worker.mu.
	outstanding table
	starved     bool // the sender waits for an answer
	sent        bool // the sender has ended
	broken      bool // the sender has ended because it could not write
	finished    bool // sent, and everything was answered
	gone        bool // the receiver has ended
}

func newSession(w *worker, conn net.Conn) *session {
	o := &w.run.opts
	return &session{
		worker:      w,
		conn:        conn,
		token:       newToken(w.run.connectionID.Add(1), o.Size),
		wake:        make(chan struct{}, 1),
		data:        bytes.Repeat([]byte{filler}, o.Size),
		perSend:     max(1, maxWrite/(o.Size+headerLength)),
		timer:       time.NewTimer(time.Hour),
		in:          wire.NewReader(conn, maxAnswer),
		outstanding: newTable(o.Pipeline),
	}
}

// work sends and receives until everything is answered, sending has ended and
// the time for answers is up, or the connection is lost, which it reports.
func (s *session) work(sending context.Context) (lost bool) {
	defer s.timer.Stop()
	defer context.AfterFunc(sending, func() {
		_ = s.conn.SetWriteDeadline(time.Now().Add(s.run.opts.Grace))
	})()
	var sender sync.WaitGroup
	sender.Go(func() { s.send(sending) })
	err := s.receive()
	_ = s.conn.Close()
	sender.Wait()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Unanswered += int64(s.outstanding.n)
	lost = s.broken || !s.finished && !errors.Is(err, os.ErrDeadlineExceeded)
	if lost {
		s.counts.Lost++
	}
	return lost
}

// send sends requests as they are due and there is room for them.
func (s *session) send(ctx context.Context) {
	var err error
	for err == nil {
		n := s.awaitTurn(ctx)
		if n == 0 {
			break
		}
		err = s.write(n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = true
	s.broken = err != nil && !s.gone && !errors.Is(err, os.ErrDeadlineExceeded)
	_ = s.conn.SetReadDeadline(time.Now().Add(s.run.opts.Grace))
	s.finish()
}

// awaitTurn waits until requests may be sent, takes them from the quota and
// returns how many. Zero means that there will be no more.
func (s *session) awaitTurn(ctx context.Context) int {
	s.ready = never
	left := s.left()
	for ctx.Err() == nil && !s.quota.empty() && left > 0 {
		s.mu.Lock()
		room := s.run.opts.Pipeline - s.outstanding.n
		s.starved = room == 0
		gone := s.gone
		s.mu.Unlock()
		if gone {
			return 0
		}
		var due <-chan time.Time
		if room == 0 {
			s.ready = never
		} else {
			now := s.run.now()
			s.ready = min(s.ready, now)
			n, wait := s.schedule.due(now, min(room, s.perSend, left))
			if n > 0 {
				return s.quota.take(n)
			}
			s.timer.Reset(wait)
			due = s.timer.C
		}
		select {
		case <-s.wake:
		case <-due:
		case <-ctx.Done():
		}
	}
	return 0
}

// left is how many more requests this connection may have.
func (s *session) left() int {
	if limit := s.run.opts.RequestsPerConnection; limit > 0 {
		return limit - int(s.seq)
	}
	return math.MaxInt
}

// write sends the next n requests. Those that were not written to the end do
// not count as sent.
func (s *session) write(n int) error {
	s.out = s.out[:0]
	for i := range n {
		s.token.put(s.data, s.seq+int64(i)+1)
		s.out = foo.Append(s.out, protocol.Request, s.seq+int64(i)+1, s.data)
	}
	s.mu.Lock()
	now := s.run.now()
	for i := range n {
		from, overslept := s.schedule.take(now, s.ready)
		s.outstanding.put(s.seq+int64(i)+1, from)
		s.overslept = max(s.overslept, overslept)
	}
	s.counts.Sent += int64(n)
	s.counts.BytesSent += int64(len(s.out))
	s.mu.Unlock()
	s.seq += int64(n)

	written, err := s.conn.Write(s.out)
	if err == nil {
		return nil
	}
	unsent := n - bytes.Count(s.out[:written], []byte{'\n'})
	s.schedule.giveBack(unsent)
	s.quota.giveBack(unsent)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range unsent {
		s.outstanding.take(s.seq - int64(i))
	}
	s.counts.Sent -= int64(unsent)
	s.counts.BytesSent -= int64(len(s.out) - written)
	return err
}

// receive takes answers until the connection ends.
func (s *session) receive() error {
	for {
		err := s.in.Fill()
		now := s.run.now()
		s.mu.Lock()
		for m, ok := s.in.Next(); ok; m, ok = s.in.Next() {
			s.answer(m, now)
		}
		s.finish()
		s.gone = err != nil
		wake := s.gone || s.starved && s.outstanding.n < s.run.opts.Pipeline
		s.mu.Unlock()
		if wake {
			select {
			case s.wake <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return err
		}
	}
}

// finish ends the connection in good order once everything is sent and
// answered: the peer may still say what it should not, and then closes, too.
// s.mu must be held.
func (s *session) finish() {
	if s.finished || !s.sent || s.gone || s.broken || s.outstanding.n > 0 {
		return
	}
	s.finished = true
	if half, ok := s.conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		_ = s.conn.Close()
		return
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(lastWords))
}

// answer takes one message. s.mu must be held.
func (s *session) answer(m wire.Message, now time.Duration) {
	s.counts.BytesReceived += m.Size
	if m.Kind != protocol.Positive && m.Kind != protocol.Negative || m.Stray {
		s.counts.Unexpected++
		return
	}
	at, ok := s.outstanding.take(m.ID)
	if !ok {
		s.counts.Unexpected++
		return
	}
	s.lastAnswer = now
	own := s.token.begins(m.Data, m.ID)
	switch {
	case m.Kind == protocol.Positive && own:
		s.counts.ACKs++
	case m.Kind == protocol.Negative && own && s.token.len() > 0:
		s.counts.NAKs++
	case m.Kind == protocol.Negative && !isToken(m.Data):
		s.counts.NAKs++
		s.texts.add(m.Data)
	default:
		s.counts.Wrong++
		return
	}
	s.latency.Observe(now - at)
}
