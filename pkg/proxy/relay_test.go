package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
)

// half is one end of a connection in memory that has no buffer at all: a write
// waits until the peer has read every byte.
type half struct {
	net.Conn // for the methods that nobody calls
	in       *io.PipeReader
	out      *io.PipeWriter
}

func duplex() (here, there *half) {
	toThere, fromHere := io.Pipe()
	toHere, fromThere := io.Pipe()
	return &half{in: toHere, out: fromHere}, &half{in: toThere, out: fromThere}
}

func (h *half) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (h *half) Read(b []byte) (int, error)       { return h.in.Read(b) }
func (h *half) Write(b []byte) (int, error)      { return h.out.Write(b) }
func (h *half) CloseWrite() error                { return h.out.Close() }
func (h *half) Close() error                     { h.in.Close(); return h.out.Close() }
func (h *half) SetWriteDeadline(time.Time) error { return nil }

// scene is a session between a client and upstreams in memory, of which the
// test plays both.
type scene struct {
	t        *testing.T
	listener *Listener
	seen     *tally
	client   *half
	upstream chan *half // those that were dialed
}

func newScene(t *testing.T, p Policy) *scene {
	t.Helper()
	s := &scene{t: t, seen: newTally(), upstream: make(chan *half, 100)}
	s.listener = NewListener(ListenerOptions{Protocol: foo.Protocol{}, Observer: func(SessionInfo) Observer { return s.seen }},
		Settings{Policy: p, Upstream: dialFunc(func(context.Context) (net.Conn, error) {
			here, there := duplex()
			s.upstream <- there
			return here, nil
		})})
	here, there := duplex()
	s.client = there
	s.listener.handle(here)
	t.Cleanup(func() {
		s.client.Close()
		s.drain(true)
		if c := s.seen.get(); c.InFlight() != 0 || c.Sessions() != 0 {
			t.Errorf("after the end: %+v", c)
		}
	})
	return s
}

// drain drains the listener, without patience if hurried, and fails if that
// does not end.
func (s *scene) drain(hurried bool) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if hurried {
		cancel()
	}
	done := make(chan struct{})
	go func() { s.listener.Drain(ctx); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		s.t.Fatalf("draining does not end: %+v", s.seen.get())
	}
}

func (s *scene) say(from io.Writer, text string) {
	s.t.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		s.t.Fatalf("write %q: %v", text, err)
	}
}

func (s *scene) hear(who io.Reader, want string) {
	s.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(who, got); err != nil || string(got) != want {
		s.t.Fatalf("got %q and %v, want %q", got, err, want)
	}
}

func (s *scene) hearEnd(who io.Reader) {
	s.t.Helper()
	if rest, err := io.ReadAll(who); err != nil || len(rest) > 0 {
		s.t.Fatalf("got %q and %v, want the end", rest, err)
	}
}

func TestDrainDoesNotWaitForAClientThatDoesNotRead(t *testing.T) {
	s := newScene(t, Policy{})
	up := <-s.upstream
	go io.Copy(io.Discard, up)
	s.say(s.client, "REQ 1\nREQ 2\n")
	s.seen.await(t, "the requests", func(c Counts) bool { return c.Requests == 2 })
	s.say(up, "ACK 1\n") // and the client does not take it
	s.seen.await(t, "the answer", func(c Counts) bool { return c.Acked == 1 })
	s.drain(true)
	if c := s.seen.get(); c.Closed[ClosedCut] != 1 || c.InFlight() != 0 {
		t.Errorf("got %+v", c)
	}
}

func TestSessionEndsIfItsLastAnswerCannotBeWritten(t *testing.T) {
	s := newScene(t, Policy{})
	up := <-s.upstream
	s.say(s.client, "REQ 1\n")
	s.client.CloseWrite()
	s.hear(up, "REQ 1\n")
	s.hearEnd(up) // the half-close was passed on
	s.client.Close()
	go func() { io.WriteString(up, "ACK 1\n") }() // and never ends its side
	s.drain(false)
}

func TestFailedWriteToAnUpstreamThatHasEndedEndsTheSession(t *testing.T) {
	s := newScene(t, Policy{CloseOnLoss: true})
	up := <-s.upstream
	s.say(up, "ACK 9\n") // which keeps the reader of the upstream busy
	s.seen.await(t, "the answer", func(c Counts) bool { return c.Positives == 1 })
	up.Close()
	s.say(s.client, "REQ 1\n") // can't be written
	s.seen.await(t, "the request", func(c Counts) bool { return c.Requests == 1 })
	s.hear(s.client, "ACK 9\n")
	s.hearEnd(s.client)
	s.client.CloseWrite()
	s.seen.await(t, "the end of the session", func(c Counts) bool { return c.Sessions() == 0 })
}

func TestRefusalsReachAClientThatHasEndedItsSide(t *testing.T) {
	const requests = 5000
	s := newScene(t, Policy{Budget: time.Minute})
	up := <-s.upstream
	var asked, want string
	for i := range requests {
		asked += fmt.Sprintf("REQ %d\n", i+1)
		want += fmt.Sprintf("NAK %d upstream unavailable\n", i+1)
	}
	go io.Copy(io.Discard, up)
	s.say(s.client, asked)
	s.seen.await(t, "the requests", func(c Counts) bool { return c.Requests == requests })
	up.Close()
	go func() { // whatever is dialed after that ends with the client
		again := <-s.upstream
		io.Copy(io.Discard, again)
		again.Close()
	}()
	defer func() { here, _ := duplex(); here.Close(); s.upstream <- here }()
	s.seen.await(t, "the refusals", func(c Counts) bool { return c.Refused[RefusedLost] == requests })
	s.client.CloseWrite()
	s.hear(s.client, want)
	s.hearEnd(s.client)
}

func TestLastAnswerIsWrittenWholeWhenTheClientEndsWhileDraining(t *testing.T) {
	s := newScene(t, Policy{})
	up := <-s.upstream
	s.say(s.client, "REQ 1\n")
	s.hear(up, "REQ 1\n")
	drained := make(chan struct{})
	go func() { s.listener.Drain(context.Background()); close(drained) }()
	s.say(up, "ACK 1 long\n")
	s.seen.await(t, "the answer", func(c Counts) bool { return c.Acked == 1 })
	s.client.CloseWrite()
	s.hear(s.client, "ACK 1 long\n")
	s.hearEnd(s.client)
	<-drained
}

func TestRequestsWhileDrainingAreRefusedNotDropped(t *testing.T) {
	s := newScene(t, Policy{})
	up := <-s.upstream
	s.say(s.client, "REQ 1\n")
	s.hear(up, "REQ 1\n")
	var draining sync.WaitGroup
	defer draining.Wait()
	draining.Go(func() { s.listener.Drain(context.Background()) })
	in := bufio.NewReader(s.client)
	// Requests are passed on until draining has begun.
	forwarded := bufio.NewReader(up)
	go func() {
		for {
			line, err := forwarded.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(up, "ACK"+line[3:])
		}
	}()
	for seq := 2; ; seq++ {
		s.say(s.client, fmt.Sprintf("REQ %d\n", seq))
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == fmt.Sprintf("NAK %d sidecar draining\n", seq) {
			break
		}
		if line != fmt.Sprintf("ACK %d\n", seq) {
			t.Fatalf("got %q for request %d", line, seq)
		}
	}
	s.say(up, "ACK 1\n")
	expectLine(t, in, "ACK 1\n")
	s.hearEnd(in)
	s.client.CloseWrite()
}

func TestSessionGoesToTheUpstreamThatIsConfiguredByThen(t *testing.T) {
	eachDriver(t, testSessionGoesToTheUpstreamThatIsConfiguredByThen)
}

func testSessionGoesToTheUpstreamThatIsConfiguredByThen(t driven) {
	up := upstreamServer(t, "tcp", "127.0.0.1:0", acknowledge)
	l, seen, address := t.serve(Settings{
		Upstream: dialFunc(func(context.Context) (net.Conn, error) { return nil, io.ErrUnexpectedEOF }),
		Policy:   Policy{Backoff: Backoff{Initial: time.Millisecond, Max: time.Millisecond}},
	})
	conn := connect(t, address)
	in := bufio.NewReader(conn)
	io.WriteString(conn, "REQ 1\n")
	expectLine(t, in, "NAK 1 upstream unavailable\n")
	l.Configure(Settings{Upstream: dialTo(up.Addr().String())})
	seen.await(t, "a connection", func(c Counts) bool { return c.Dialed == 1 })
	io.WriteString(conn, "REQ 2\n")
	expectLine(t, in, "ACK 2\n")
}
