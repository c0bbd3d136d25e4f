package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestNothingIsLostOrLeftBehindAmongPeersThatMisbehave lets many clients and
// servers do at random whatever peers do to each other: reset in the middle of
// a message, half close, stall, read slowly, answer in pieces.
func TestNothingIsLostOrLeftBehindAmongPeersThatMisbehave(t *testing.T) {
	for name, policy := range map[string]Policy{
		"refusing": {Budget: time.Minute, Backoff: Backoff{Initial: time.Millisecond, Max: time.Millisecond}},
		"closing":  {Budget: time.Minute, Backoff: Backoff{Initial: time.Millisecond, Max: time.Millisecond}, CloseOnLoss: true},
	} {
		t.Run(name, func(t *testing.T) {
			eachDriver(t, func(t driven) { nothingIsLostOrLeftBehind(t, policy) })
		})
	}
}

func nothingIsLostOrLeftBehind(t driven, policy Policy) {
	m, l, seen := t.amongMisbehaviour(policy, 600*time.Millisecond, func(*Listener) {})
	seen.await(t, "the end of all sessions", func(c Counts) bool { return c.Sessions() == 0 })
	// A session is counted as closed a moment before the listener forgets it.
	for limit := time.Now().Add(20 * time.Second); l.Sessions() > 0 && time.Now().Before(limit); {
		runtime.Gosched()
	}
	c := seen.get()
	// A client is left without answers only if one was torn, or if it shares the
	// fate of its upstream connection.
	excuses := sum(c.Malformed[Upstream][:])
	if policy.CloseOnLoss {
		excuses += c.Lost + c.Closed[ClosedByUpstream]
	}
	if c.InFlight() != 0 || l.Sessions() != 0 || m.cut.Load() > excuses || m.whole.Load() == 0 {
		t.Errorf("%d sessions were whole and %d cut short: %+v", m.whole.Load(), m.cut.Load(), c)
	}
}

func TestDrainingEndsAmongPeersThatMisbehave(t *testing.T) {
	eachDriver(t, testDrainingEndsAmongPeersThatMisbehave)
}

func testDrainingEndsAmongPeersThatMisbehave(t driven) {
	_, l, seen := t.amongMisbehaviour(Policy{}, 100*time.Millisecond, func(l *Listener) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		l.events.(*tally).await(t, "answers", func(c Counts) bool { return c.Acked > 100 })
		l.Drain(ctx)
	})
	if c := seen.get(); c.InFlight() != 0 || c.Sessions() != 0 || l.Sessions() != 0 {
		t.Errorf("after the end: %+v", c)
	}
}

// amongMisbehaviour runs a listener among peers that misbehave for some time,
// during which something else is done with it.
func (t driven) amongMisbehaviour(policy Policy, limit time.Duration, do func(*Listener)) (*misbehaviour, *Listener, *tally) {
	t.Helper()
	before := descriptors()
	t.Cleanup(func() { // when everything is closed
		goleak.VerifyNone(t)
		if after := descriptors(); after != before {
			t.Errorf("%d descriptors are open, %d were before", after, before)
		}
	})
	m := &misbehaviour{words: make([]byte, 2*longestData)}
	for i := range m.words {
		m.words[i] = 'a' + byte(rand.IntN(26))
	}
	up := upstreamServer(t, "tcp", "127.0.0.1:0", m.serve)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := socket.Addr().String()
	l, seen := t.serveOn(&narrow{flaky{Listener: socket}}, Settings{Upstream: dialTo(up.Addr().String()), Policy: policy})

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var clients sync.WaitGroup
	for range 24 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := m.session(address); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	do(l)
	clients.Wait()
	return m, l, seen
}

// narrow accepts connections that take little before somebody reads.
type narrow struct{ flaky }

func (n *narrow) Accept() (net.Conn, error) {
	conn, err := n.flaky.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(bufferSize)
	}
	return conn, err
}

// descriptors returns how many descriptors are open, where that can be known.
func descriptors() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}

// longestData is the length of the longest data of a message.
const longestData = 200 << 10

// misbehaviour is clients and servers that misbehave.
type misbehaviour struct {
	words []byte        // what data is cut from
	seed  atomic.Uint64 // of the last peer

	whole, cut atomic.Int64 // sessions with all of their answers, and with less
}

func (m *misbehaviour) rand() *rand.Rand { return rand.New(rand.NewPCG(m.seed.Add(1), 0)) }

// serve answers some requests, and then does something else.
func (m *misbehaviour) serve(conn net.Conn) {
	r := m.rand()
	in := bufio.NewReader(conn)
	inPieces := r.IntN(2) == 0
	conn.(*net.TCPConn).SetReadBuffer(2 * bufferSize)
	for range r.IntN(60) {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		copy(line, "ACK")
		for len(line) > 0 {
			n := len(line)
			if inPieces {
				n = 1 + r.IntN(n)
			}
			if _, err := conn.Write(line[:n]); err != nil {
				return
			}
			line = line[n:]
		}
	}
	switch r.IntN(5) {
	case 0: // resets
		conn.(*net.TCPConn).SetLinger(0)
	case 1: // closes, which resets as well if there is something to read
	case 2:
		closeWrite(conn)
		io.Copy(io.Discard, in)
	case 3: // stalls
		<-time.After(10 * time.Millisecond)
		fallthrough
	default:
		acknowledge(&rest{Conn: conn, in: in})
	}
}

// rest is a connection of which some was read already.
type rest struct {
	net.Conn
	in *bufio.Reader
}

func (r *rest) Read(b []byte) (int, error) { return r.in.Read(b) }

// data returns the data of a request.
func (m *misbehaviour) data(seq, size int) []byte {
	from := seq * 7919 % longestData
	return m.words[from : from+size]
}

// session is one session of a client. It returns what must not be.
func (m *misbehaviour) session(address string) error {
	r := m.rand()
	dialed, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	conn := dialed.(*net.TCPConn)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))

	sizes := make([]int, 1+r.IntN(40))
	for i := range sizes {
		sizes[i] = 1 + r.IntN(100)
		if r.IntN(4) == 0 {
			sizes[i] = 1 + r.IntN(longestData)
		}
	}
	halfCloses := r.IntN(2) == 0
	resets := -1 // the request in whose middle the client resets
	if r.IntN(4) == 0 {
		resets = r.IntN(len(sizes))
	}
	in := bufio.NewReaderSize(conn, bufferSize)
	readsLate := r.IntN(4) == 0
	if r.IntN(4) == 0 { // reads slowly
		conn.SetReadBuffer(2 * bufferSize)
		in = bufio.NewReaderSize(conn, 1000)
	}

	var sending sync.WaitGroup
	defer sending.Wait()
	defer conn.Close() // which ends sending
	sending.Go(func() {
		for i, size := range sizes {
			request := append(fmt.Appendf(nil, "REQ %d ", i+1), m.data(i+1, size)...)
			if i == resets {
				conn.Write(request)
				conn.SetLinger(0)
				conn.Close()
				return
			}
			if _, err := conn.Write(append(request, '\n')); err != nil {
				return
			}
		}
		if halfCloses {
			conn.CloseWrite()
		}
	})
	if readsLate {
		<-time.After(10 * time.Millisecond)
	}
	answered := make([]bool, len(sizes))
	for range sizes {
		line, err := in.ReadBytes('\n')
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("waited in vain for an answer: %w", err)
		case err != nil && resets < 0:
			m.cut.Add(1)
			return nil
		case err != nil:
			return nil
		}
		if err := m.check(line, sizes, answered); err != nil {
			return err
		}
	}
	conn.CloseWrite()
	if rest, err := io.ReadAll(in); resets < 0 && (len(rest) > 0 || err != nil) {
		return fmt.Errorf("after all answers came %d bytes and %w", len(rest), err)
	}
	m.whole.Add(1)
	return nil
}

// check returns what is wrong with an answer.
func (m *misbehaviour) check(line []byte, sizes []int, answered []bool) error {
	var seq int
	if _, err := fmt.Sscanf(string(line[:min(len(line), 20)]), "ACK %d ", &seq); err != nil {
		fmt.Sscanf(string(line), "NAK %d ", &seq)
	}
	if seq < 1 || seq > len(sizes) || answered[seq-1] {
		return fmt.Errorf("answer to no request, or the second one: %.40q", line)
	}
	answered[seq-1] = true
	ack := append(fmt.Appendf(nil, "ACK %d ", seq), m.data(seq, sizes[seq-1])...)
	refusal := bytes.TrimPrefix(line, fmt.Appendf(nil, "NAK %d ", seq))
	if !bytes.Equal(line, append(ack, '\n')) && string(refusal) != Unavailable+"\n" && string(refusal) != Draining+"\n" {
		return fmt.Errorf("answer to request %d is not unchanged: %.40q", seq, line)
	}
	return nil
}
