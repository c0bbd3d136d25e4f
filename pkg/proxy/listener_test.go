package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tally is an Observer that adds everything up.
type tally struct {
	mu     sync.Mutex
	counts Counts
	change chan struct{} // one token after a change
}

func newTally() *tally { return &tally{change: make(chan struct{}, 1)} }

func (t *tally) Observe(b *Batch) {
	t.mu.Lock()
	t.counts.Add(&b.Counts)
	if t.counts.InFlight() < 0 || t.counts.Sessions() < 0 || t.counts.Waiting() < 0 {
		panic(fmt.Sprintf("more ended than began: %+v", t.counts))
	}
	t.mu.Unlock()
	select {
	case t.change <- struct{}{}:
	default:
	}
}

func (t *tally) Interest() *Interest { return nil }

func (t *tally) get() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts
}

// await waits until the counts satisfy a condition.
func (t *tally) await(tb testing.TB, what string, ok func(Counts) bool) {
	tb.Helper()
	limit := time.After(20 * time.Second)
	for !ok(t.get()) {
		select {
		case <-t.change:
		case <-limit:
			tb.Fatalf("waited in vain for %s: %+v", what, t.get())
		}
	}
}

// dialTo dials one address.
type dialTo string

func (d dialTo) Dial(ctx context.Context) (net.Conn, error) {
	network := "tcp"
	if filepath.IsAbs(string(d)) {
		network = "unix"
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, string(d))
	if tcp, ok := conn.(*net.TCPConn); ok {
		return wrapped{TCPConn: tcp}, err
	}
	return conn, err
}

// DialsSockets lets an event loop take over the connections.
func (d dialTo) DialsSockets() bool { return true }

// Detach returns the connection that is wrapped.
func (w wrapped) Detach() (net.Conn, func()) { return w.TCPConn, func() {} }

// wrapped is a connection that can't be compared with another, as those that
// count themselves can't.
type wrapped struct {
	*net.TCPConn
	_ func()
}

// driven is a test, and what carries its sessions.
type driven struct {
	testing.TB
	goroutines bool
}

// eachDriver runs a test with everything that can carry sessions here.
func eachDriver(t *testing.T, test func(driven)) {
	t.Helper()
	if runtime.GOOS == "linux" {
		t.Run("loop", func(t *testing.T) { test(driven{TB: t}) })
	}
	t.Run("goroutines", func(t *testing.T) { test(driven{TB: t, goroutines: true}) })
}

func (t driven) options(seen *tally) ListenerOptions {
	return ListenerOptions{
		Protocol: foo.Protocol{}, Observer: func(SessionInfo) Observer { return seen }, Goroutines: t.goroutines,
	}
}

// serve runs a listener on a free port and returns it with its address. It is
// drained, without patience, when the test ends.
func (t driven) serve(s Settings) (*Listener, *tally, string) {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, seen := t.serveOn(socket, s)
	return l, seen, socket.Addr().String()
}

func (t driven) serveOn(socket net.Listener, s Settings) (*Listener, *tally) {
	t.Helper()
	seen := newTally()
	l := NewListener(t.options(seen), s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Serve(ctx, socket) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		l.Drain(ctx)
		socket.Close()
	})
	return l, seen
}

// upstreamServer accepts connections and hands each to handle.
func upstreamServer(t testing.TB, network, address string, handle func(net.Conn)) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		ln.Close()
		running.Wait()
	})
	return ln
}

// handedOver is an upstream whose connections the test plays itself.
func handedOver(t testing.TB) (net.Listener, <-chan net.Conn) {
	t.Helper()
	connections := make(chan net.Conn)
	return upstreamServer(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		select {
		case connections <- conn:
			<-t.Context().Done()
		case <-t.Context().Done(): // A session that was losing its connection has dialed again.
		}
	}), connections
}

// acknowledge answers each REQ with an ACK of the same Seq and Data.
func acknowledge(conn net.Conn) {
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		copy(line, "ACK")
		out.Write(line)
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

func connect(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn.(*net.TCPConn)
}

func expectLine(t testing.TB, in *bufio.Reader, want string) {
	t.Helper()
	got, err := in.ReadString('\n')
	if err != nil || got != want {
		t.Fatalf("got %q and %v, want %q", got, err, want)
	}
}

// TestEveryByteArrivesUnchanged sends random bytes both ways, through TCP and
// through Unix sockets, and compares what was sent with what arrived.
func TestEveryByteArrivesUnchanged(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			eachDriver(t, func(t driven) { everyByteArrivesUnchanged(t, network) })
		})
	}
}

func everyByteArrivesUnchanged(t driven, network string) {
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "up")
	}
	type sums struct{ received, sent hash.Hash }
	server := make(chan sums, 1)
	up := upstreamServer(t, network, address, func(conn net.Conn) {
		s := sums{sha256.New(), sha256.New()}
		var both sync.WaitGroup
		both.Go(func() { babble(io.MultiWriter(conn, s.sent), 2); closeWrite(conn) })
		both.Go(func() { io.Copy(s.received, conn) })
		both.Wait()
		server <- s
	})
	if network == "unix" {
		address += ".in"
	}
	socket, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	// With nak, an upstream that ends first would be a loss.
	_, seen := t.serveOn(socket, Settings{Upstream: dialTo(up.Addr().String()), Policy: Policy{CloseOnLoss: true}})

	conn, err := net.Dial(network, socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent, received := sha256.New(), sha256.New()
	var both sync.WaitGroup
	both.Go(func() { babble(io.MultiWriter(conn, sent), 1); closeWrite(conn) })
	both.Go(func() { io.Copy(received, conn) })
	both.Wait()
	s := <-server
	if !bytes.Equal(s.received.Sum(nil), sent.Sum(nil)) {
		t.Error("the upstream did not get what the client sent")
	}
	if !bytes.Equal(received.Sum(nil), s.sent.Sum(nil)) {
		t.Error("the client did not get what the upstream sent")
	}
	seen.await(t, "the end of the session", func(c Counts) bool {
		return c.Closed[ClosedByClient]+c.Closed[ClosedByUpstream] == 1
	})
}

// babble writes some megabytes that look like Foo here and there.
func babble(w io.Writer, seed uint64) {
	r := rand.New(rand.NewPCG(seed, seed))
	words := []string{"REQ ", "ACK ", "NAK ", "1", "0", " ", "\n", "\r\n", "\t", "-", "ERRDECODE", "\xff\x00", "data"}
	chunk := make([]byte, 0, 1<<16)
	for range 100 {
		chunk = chunk[:0]
		for len(chunk) < r.IntN(1<<16) {
			if r.IntN(50) == 0 {
				chunk = append(chunk, make([]byte, r.IntN(1000))...)
			}
			chunk = append(chunk, words[r.IntN(len(words))]...)
		}
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// TestLongLinePassesInConstantMemory sends one line of 1 GiB.
func TestLongLinePassesInConstantMemory(t *testing.T) {
	eachDriver(t, testLongLinePassesInConstantMemory)
}

func testLongLinePassesInConstantMemory(t driven) {
	const size = 1 << 30
	received := make(chan int64, 1)
	up := upstreamServer(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		n, _ := io.Copy(io.Discard, conn)
		received <- n
		io.WriteString(conn, "ACK 1\n")
	})
	_, seen, address := t.serve(Settings{Upstream: dialTo(up.Addr().String())})
	conn := connect(t, address)
	io.WriteString(conn, "REQ 1 ")
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	for sent := 0; sent < size; sent += len(chunk) {
		if _, err := conn.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	io.WriteString(conn, "\n")
	conn.CloseWrite()
	expectLine(t, bufio.NewReader(conn), "ACK 1\n")
	if got := <-received; got != size+7 {
		t.Errorf("the upstream got %d bytes, want %d", got, size+7)
	}
	if c := seen.get(); c.Acked != 1 || c.Bytes[Client] != size+7 {
		t.Errorf("got %+v", c)
	}
}

func TestSessionGoesOnWhenTheUpstreamIsRestarted(t *testing.T) {
	eachDriver(t, testSessionGoesOnWhenTheUpstreamIsRestarted)
}

func testSessionGoesOnWhenTheUpstreamIsRestarted(t driven) {
	hangUp := make(chan struct{})
	up := upstreamServer(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if line == "REQ 2 die\n" {
				<-hangUp
				return
			}
			io.WriteString(conn, "ACK"+line[3:])
		}
	})
	_, seen, address := t.serve(Settings{Upstream: dialTo(up.Addr().String()), Policy: Policy{Budget: 10 * time.Second}})
	conn := connect(t, address)
	in := bufio.NewReader(conn)
	io.WriteString(conn, "REQ 1 one\n")
	expectLine(t, in, "ACK 1 one\n")
	io.WriteString(conn, "REQ 2 die\n")
	seen.await(t, "the request", func(c Counts) bool { return c.Requests == 2 })
	close(hangUp)
	expectLine(t, in, "NAK 2 upstream unavailable\n")
	io.WriteString(conn, "REQ 3 three\n")
	expectLine(t, in, "ACK 3 three\n")
	conn.CloseWrite()
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
	seen.await(t, "the end of the session", func(c Counts) bool { return c.Sessions() == 0 })
	if c := seen.get(); c.Dialed != 2 || c.Lost != 1 || c.Refused[RefusedLost] != 1 || c.InFlight() != 0 {
		t.Errorf("got %+v", c)
	}
}

// TestEveryRequestIsAnsweredOnceThroughLosses has an upstream that resets each
// connection after some requests, while the client goes on sending.
func TestEveryRequestIsAnsweredOnceThroughLosses(t *testing.T) {
	eachDriver(t, testEveryRequestIsAnsweredOnceThroughLosses)
}

func testEveryRequestIsAnsweredOnceThroughLosses(t driven) {
	const requests = 20_000
	up := upstreamServer(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for range 1000 {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return
			}
			copy(line, "ACK")
			conn.Write(line)
		}
		conn.(*net.TCPConn).SetLinger(0)
	})
	_, seen, address := t.serve(Settings{Upstream: dialTo(up.Addr().String()), Policy: Policy{Budget: 10 * time.Second}})
	conn := connect(t, address)
	var sending sync.WaitGroup
	sending.Go(func() {
		out := bufio.NewWriter(conn)
		for seq := range requests {
			fmt.Fprintf(out, "REQ %d x\n", seq+1)
		}
		out.Flush()
		conn.CloseWrite()
	})
	answers := make([]int, requests+1)
	acks, naks := int64(0), int64(0)
	in := bufio.NewScanner(conn)
	for in.Scan() {
		var seq int
		switch line := in.Text(); {
		case strings.HasPrefix(line, "ACK"):
			fmt.Sscanf(line, "ACK %d x", &seq)
			acks++
		default:
			fmt.Sscanf(line, "NAK %d upstream unavailable", &seq)
			naks++
		}
		answers[seq]++
	}
	sending.Wait()
	for seq, n := range answers {
		if want := min(seq, 1); n != want {
			t.Fatalf("request %d has %d answers, want %d", seq, n, want)
		}
	}
	seen.await(t, "the end of the session", func(c Counts) bool { return c.Sessions() == 0 })
	if c := seen.get(); c.Acked != acks || c.RefusedTotal() != naks || c.Lost == 0 || c.Requests != requests {
		t.Errorf("the client got %d ACKs and %d NAKs, the counts are %+v", acks, naks, c)
	}
}

// unwritable is a connection whose second request can't be written any more.
type unwritable struct {
	net.Conn
	failed chan struct{}
	_      func() // not comparable
}

func (u unwritable) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte("REQ 2 ")) {
		close(u.failed)
		return 0, syscall.EPIPE
	}
	return u.Conn.Write(b)
}

// dialFunc is a Dialer.
type dialFunc func(context.Context) (net.Conn, error)

func (d dialFunc) Dial(ctx context.Context) (net.Conn, error) { return d(ctx) }

func TestAnswersOnTheirWayArriveAfterAWriteHasFailed(t *testing.T) {
	eachDriver(t, testAnswersOnTheirWayArriveAfterAWriteHasFailed)
}

func testAnswersOnTheirWayArriveAfterAWriteHasFailed(t driven) {
	failed := make(chan struct{})
	first := true
	up := upstreamServer(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		in := bufio.NewReader(conn)
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		<-failed
		io.WriteString(conn, "ACK"+line[3:])
	})
	_, seen, address := t.serve(Settings{Policy: Policy{Budget: 10 * time.Second}, Upstream: dialFunc(func(ctx context.Context) (net.Conn, error) {
		conn, err := dialTo(up.Addr().String()).Dial(ctx)
		if err == nil && first {
			first = false
			return unwritable{Conn: conn, failed: failed}, nil
		}
		return conn, err
	})})
	conn := connect(t, address)
	in := bufio.NewReader(conn)
	io.WriteString(conn, "REQ 1 x\n")
	seen.await(t, "the request", func(c Counts) bool { return c.Requests == 1 })
	io.WriteString(conn, "REQ 2 x\n")
	expectLine(t, in, "ACK 1 x\n")
	expectLine(t, in, "NAK 2 upstream unavailable\n")
	io.WriteString(conn, "REQ 3 x\n")
	expectLine(t, in, "ACK 3 x\n")
}

func TestClientIsKeptWhileTheUpstreamIsAway(t *testing.T) {
	eachDriver(t, testClientIsKeptWhileTheUpstreamIsAway)
}

func testClientIsKeptWhileTheUpstreamIsAway(t driven) {
	// A port that nobody listens on until it is needed.
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := reserved.Addr().String()
	reserved.Close()
	_, seen, front := t.serve(Settings{
		Upstream: dialTo(address),
		Policy:   Policy{Budget: 30 * time.Millisecond, Backoff: Backoff{Initial: time.Millisecond, Max: 10 * time.Millisecond}},
	})
	conn := connect(t, front)
	in := bufio.NewReader(conn)
	io.WriteString(conn, "REQ 1\n")
	expectLine(t, in, "NAK 1 upstream unavailable\n")

	upstreamServer(t, "tcp", address, acknowledge)
	seen.await(t, "a connection", func(c Counts) bool { return c.Dialed == 1 })
	io.WriteString(conn, "REQ 2 back\n")
	expectLine(t, in, "ACK 2 back\n")
}

func TestClientBeyondTheLimitIsToldSo(t *testing.T) { eachDriver(t, testClientBeyondTheLimitIsToldSo) }

func testClientBeyondTheLimitIsToldSo(t driven) {
	up := upstreamServer(t, "tcp", "127.0.0.1:0", acknowledge)
	_, seen, address := t.serve(Settings{Upstream: dialTo(up.Addr().String()), MaxConnections: 1})
	first := connect(t, address)
	io.WriteString(first, "REQ 1 x\n")
	expectLine(t, bufio.NewReader(first), "ACK 1 x\n")

	second := connect(t, address)
	io.WriteString(second, "REQ 1 x\nREQ 2 y\n")
	in := bufio.NewReader(second)
	expectLine(t, in, "NAK 0 connection limit reached\n")
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
	second.Close()
	seen.await(t, "the refusal", func(c Counts) bool { return c.Rejected == 1 && c.Refused[RefusedLimit] == 1 })

	first.Close()
	seen.await(t, "room", func(c Counts) bool { return c.Sessions() == 0 })
}

// flaky fails to accept a few times first, as a process without descriptors
// does.
type flaky struct {
	net.Listener
	mu   sync.Mutex
	left int
}

func (f *flaky) Accept() (net.Conn, error) {
	f.mu.Lock()
	fail := f.left > 0
	f.left--
	f.mu.Unlock()
	if fail {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

func (f *flaky) SetDeadline(t time.Time) error {
	return f.Listener.(interface{ SetDeadline(time.Time) error }).SetDeadline(t)
}

func TestAcceptingSurvivesAWantOfDescriptors(t *testing.T) {
	eachDriver(t, testAcceptingSurvivesAWantOfDescriptors)
}

func testAcceptingSurvivesAWantOfDescriptors(t driven) {
	up := upstreamServer(t, "tcp", "127.0.0.1:0", acknowledge)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, seen := t.serveOn(&flaky{Listener: socket, left: 3}, Settings{Upstream: dialTo(up.Addr().String())})
	conn := connect(t, socket.Addr().String())
	io.WriteString(conn, "REQ 1 x\n")
	expectLine(t, bufio.NewReader(conn), "ACK 1 x\n")
	if got := seen.get().AcceptErrors; got != 3 {
		t.Errorf("%d accept errors counted, want 3", got)
	}
}

func TestSlowClientStopsTheUpstreamInsteadOfTakingMemory(t *testing.T) {
	eachDriver(t, testSlowClientStopsTheUpstreamInsteadOfTakingMemory)
}

func testSlowClientStopsTheUpstreamInsteadOfTakingMemory(t driven) {
	written := make(chan int, 1)
	up := upstreamServer(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		n := 0
		chunk := bytes.Repeat([]byte("ACK 1 unread\n"), 5000)
		conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
		for {
			m, err := conn.Write(chunk)
			n += m
			if err != nil {
				written <- n
				return
			}
		}
	})
	_, seen, address := t.serve(Settings{Upstream: dialTo(up.Addr().String())})
	conn := connect(t, address)
	conn.SetReadBuffer(4096)
	if n := <-written; n > 64<<20 {
		t.Errorf("the upstream could write %d bytes to a client that does not read", n)
	}
	if got := seen.get().Bytes[Upstream]; got > 64<<20 {
		t.Errorf("read %d bytes for a client that does not read", got)
	}
}

func TestDrainLetsOutstandingRequestsFinish(t *testing.T) {
	eachDriver(t, testDrainLetsOutstandingRequestsFinish)
}

func testDrainLetsOutstandingRequestsFinish(t driven) {
	const clients = 20
	answer := make(chan struct{})
	up := upstreamServer(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		in := bufio.NewReader(conn)
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		<-answer
		io.WriteString(conn, "ACK"+line[3:])
		io.Copy(io.Discard, in)
	})
	l, seen, address := t.serve(Settings{Upstream: dialTo(up.Addr().String())})
	var conns []net.Conn
	for i := range clients {
		conn := connect(t, address)
		if i%2 == 0 {
			fmt.Fprintf(conn, "REQ %d x\n", i+1)
		}
		conns = append(conns, conn)
	}
	seen.await(t, "the requests", func(c Counts) bool { return c.Requests == clients/2 && c.Dialed == clients })
	drained := make(chan struct{})
	go func() { l.Drain(context.Background()); close(drained) }()
	// The idle half goes at once, while the others wait for their answers.
	for i, conn := range conns {
		if i%2 == 1 {
			if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
				t.Errorf("idle client %d: got %q and %v, want the end", i, rest, err)
			}
			conn.Close()
		}
	}
	close(answer)
	for i, conn := range conns {
		if i%2 == 0 {
			got, err := io.ReadAll(conn)
			if want := fmt.Sprintf("ACK %d x\n", i+1); err != nil || string(got) != want {
				t.Errorf("client %d: got %q and %v, want %q", i, got, err, want)
			}
			conn.Close()
		}
	}
	<-drained
	if c := seen.get(); c.Sessions() != 0 || c.InFlight() != 0 || c.Closed[ClosedDrained] != clients {
		t.Errorf("got %+v", c)
	}
}

func TestDrainIsBounded(t *testing.T) { eachDriver(t, testDrainIsBounded) }

func testDrainIsBounded(t driven) {
	up := upstreamServer(t, "tcp", "127.0.0.1:0", func(conn net.Conn) { io.Copy(io.Discard, conn) })
	l, seen, address := t.serve(Settings{Upstream: dialTo(up.Addr().String())})
	conn := connect(t, address)
	io.WriteString(conn, "REQ 1 x\n")
	seen.await(t, "the request", func(c Counts) bool { return c.Requests == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l.Drain(ctx)
	expectLine(t, bufio.NewReader(conn), "NAK 1 sidecar draining\n")
	if c := seen.get(); c.Closed[ClosedCut] != 1 || c.InFlight() != 0 {
		t.Errorf("got %+v", c)
	}
}

func TestSocketCanBeHandedOverWithoutRefusingAnybody(t *testing.T) {
	eachDriver(t, testSocketCanBeHandedOverWithoutRefusingAnybody)
}

func testSocketCanBeHandedOverWithoutRefusingAnybody(t driven) {
	up := upstreamServer(t, "tcp", "127.0.0.1:0", acknowledge)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := newTally()
	newListener := func() *Listener {
		return NewListener(t.options(seen),
			Settings{Upstream: dialTo(up.Addr().String())})
	}
	old := newListener()
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := old.Serve(ctx, socket); err != nil {
		t.Fatalf("serve: %v", err)
	}
	conn := connect(t, socket.Addr().String()) // while nobody accepts
	io.WriteString(conn, "REQ 1 x\n")
	t.serveOn(socket, Settings{Upstream: dialTo(up.Addr().String())})
	expectLine(t, bufio.NewReader(conn), "ACK 1 x\n")
	old.Drain(context.Background())
}

// TestWhatAPeerDoesNotTakeAtOnceArrivesLater lets each side stop reading until
// nothing more fits into the sockets, and then go on.
func TestWhatAPeerDoesNotTakeAtOnceArrivesLater(t *testing.T) {
	eachDriver(t, testWhatAPeerDoesNotTakeAtOnceArrivesLater)
}

func testWhatAPeerDoesNotTakeAtOnceArrivesLater(t driven) {
	const messages = 400_000
	text := func(kind string) (all []byte) {
		for seq := range messages {
			all = fmt.Appendf(all, "%s %d some words that take room\n", kind, seq+1)
		}
		return all
	}
	requests, answers := text("REQ"), text("ACK")
	up, server := handedOver(t)
	_, seen, address := t.serve(Settings{Upstream: dialTo(up.Addr().String())})
	client := connect(t, address)
	upstream := <-server
	carry := func(from, to net.Conn, all []byte, counted func(Counts) int64) {
		t.Helper()
		wrote := make(chan error, 1)
		go func() {
			_, err := from.Write(all)
			wrote <- err
		}()
		// Nobody reads: the sidecar comes to a stop before it has seen everything.
		last, since := int64(-1), time.Now()
		for time.Since(since) < 50*time.Millisecond {
			if n := counted(seen.get()); n != last {
				last, since = n, time.Now()
			}
			runtime.Gosched()
		}
		if last >= int64(len(all)) {
			t.Fatalf("%d bytes were read while nobody took them", last)
		}
		got := make([]byte, len(all))
		if _, err := io.ReadFull(to, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, all) {
			t.Error("what arrived is not what was sent")
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
	carry(client, upstream, requests, func(c Counts) int64 { return c.Bytes[Client] })
	carry(upstream, client, answers, func(c Counts) int64 { return c.Bytes[Upstream] })
	seen.await(t, "the answers", func(c Counts) bool { return c.Acked+c.Unanswered[UnansweredForgotten]+c.InFlight() == messages })
}

func TestAnUpstreamThatBreaksWhileItIsWrittenIsReplaced(t *testing.T) {
	eachDriver(t, testAnUpstreamThatBreaksWhileItIsWrittenIsReplaced)
}

func testAnUpstreamThatBreaksWhileItIsWrittenIsReplaced(t driven) {
	up, connections := handedOver(t)
	_, seen, address := t.serve(Settings{Upstream: dialTo(up.Addr().String()), Policy: Policy{Budget: time.Minute}})
	client := connect(t, address)
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() { // until the client is closed
		for seq := 1; ; seq++ {
			if _, err := fmt.Fprintf(client, "REQ %d %s\n", seq, strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
	})
	defer client.Close()
	first := (<-connections).(*net.TCPConn)
	seen.await(t, "requests", func(c Counts) bool { return c.Requests > 100 })
	first.SetLinger(0) // so that the sidecar's writes fail
	first.Close()
	second := <-connections
	lines := bufio.NewReader(second)
	line, err := lines.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "REQ ") {
		t.Fatalf("the next connection begins with %q, %v; want a whole request", line[:min(len(line), 40)], err)
	}
	if c := seen.get(); c.Lost != 1 || c.Refused[RefusedLost] == 0 {
		t.Errorf("got %+v, want one loss and refusals", c)
	}
}

func TestASessionIsIdleOnlyWhenNothingIsOutstanding(t *testing.T) {
	eachDriver(t, testASessionIsIdleOnlyWhenNothingIsOutstanding)
}

func testASessionIsIdleOnlyWhenNothingIsOutstanding(t driven) {
	release := make(chan struct{})
	up := upstreamServer(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		in := bufio.NewReader(conn)
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		<-release
		io.WriteString(conn, "ACK 1\n")
		io.Copy(io.Discard, in)
	})
	l, seen, address := t.serve(Settings{Upstream: dialTo(up.Addr().String()), IdleTimeout: 5 * time.Millisecond})
	conn := connect(t, address)
	io.WriteString(conn, "REQ 1\n")
	seen.await(t, "the request", func(c Counts) bool { return c.Requests == 1 })
	for l.Oldest() < 30*time.Millisecond { // six times the timeout
		runtime.Gosched()
	}
	close(release)
	in := bufio.NewReader(conn)
	expectLine(t, in, "ACK 1\n")
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
	conn.Close()
	seen.await(t, "the end", func(c Counts) bool { return c.Closed[ClosedIdle] == 1 })
}
