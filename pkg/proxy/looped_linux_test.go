package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// socketDialFunc is a Dialer whose connections are plain sockets.
type socketDialFunc func(context.Context) (net.Conn, error)

func (d socketDialFunc) Dial(ctx context.Context) (net.Conn, error) { return d(ctx) }

// DialsSockets lets an event loop take over the connections.
func (d socketDialFunc) DialsSockets() bool { return true }

func control(t testing.TB, conn syscall.Conn, do func(fd int) error) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if control := raw.Control(func(fd uintptr) { err = do(int(fd)) }); control != nil {
		t.Fatal(control)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// pair returns two ends of one Unix connection.
func pair(t testing.TB) (here, there net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		ends[i], err = net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { ends[1].Close() })
	return ends[0], ends[1]
}

func TestRefusalsGoOnWhenAnUpstreamBreaksWhileItIsWrittenAndStaysAway(t *testing.T) {
	eachDriver(t, testRefusalsGoOnWhenAnUpstreamBreaksWhileItIsWrittenAndStaysAway)
}

func testRefusalsGoOnWhenAnUpstreamBreaksWhileItIsWrittenAndStaysAway(t driven) {
	seen, leave := t.resetWhileWritten(Policy{Backoff: Backoff{Initial: time.Millisecond, Max: time.Millisecond}})
	defer leave()
	seen.await(t, "refusals for want of an upstream", func(c Counts) bool { return c.Refused[RefusedUnavailable] > 100 })
}

func TestASessionEndsWithAnUpstreamThatBreaksWhileItIsWritten(t *testing.T) {
	eachDriver(t, testASessionEndsWithAnUpstreamThatBreaksWhileItIsWritten)
}

func testASessionEndsWithAnUpstreamThatBreaksWhileItIsWritten(t driven) {
	seen, leave := t.resetWhileWritten(Policy{CloseOnLoss: true})
	leave()
	seen.await(t, "the end of the session", func(c Counts) bool { return c.Sessions() == 0 })
}

// resetWhileWritten has a client that sends for ever, and an upstream that
// takes nothing and then resets its only connection. The client leaves when the
// function is called that it returns.
func (t driven) resetWhileWritten(p Policy) (seen *tally, leave func()) {
	t.Helper()
	up, connections := handedOver(t)
	_, seen, address := t.serve(Settings{Upstream: dialTo(up.Addr().String()), Policy: p})
	client := connect(t, address)
	var running sync.WaitGroup
	running.Go(func() { // until the client is closed
		request := strings.Repeat("x", 10_000)
		for seq := 1; ; seq++ {
			if _, err := fmt.Fprintf(client, "REQ %d %s\n", seq, request); err != nil {
				return
			}
		}
	})
	running.Go(func() { io.Copy(io.Discard, client) })
	first := (<-connections).(*net.TCPConn)
	up.Close()
	stalled(seen, func(c Counts) int64 { return c.Bytes[Client] })
	first.SetLinger(0)
	first.Close()
	return seen, func() { client.Close(); running.Wait() }
}

// stalled waits until a count has not changed for a moment, and returns it.
func stalled(seen *tally, count func(Counts) int64) int64 {
	last := int64(-1)
	for {
		n := count(seen.get())
		if n == last {
			return n
		}
		last = n
		still := time.After(50 * time.Millisecond)
	changing:
		for {
			select {
			case <-seen.change:
				if count(seen.get()) != last {
					break changing
				}
			case <-still:
				return last
			}
		}
	}
}

func TestTheEndWaitsForAClientThatTakesNothingButGoesOnSending(t *testing.T) {
	small := func(which int) func(string, string, syscall.RawConn) error {
		return func(_, _ string, raw syscall.RawConn) (err error) {
			control := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, which, 1) })
			if control != nil {
				return control
			}
			return err
		}
	}
	socket, err := (&net.ListenConfig{Control: small(unix.SO_SNDBUF)}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// One read brings the whole answer, so that the session can end after it.
	answer := append(bytes.Repeat([]byte("ACK 1 "), 20_000), '\n')
	here, there := pair(t)
	there.Write(answer)
	l, seen := driven{TB: t}.serveOn(socket, Settings{
		Policy:   Policy{RejectMalformed: true},
		Upstream: socketDialFunc(func(context.Context) (net.Conn, error) { return here, nil }),
	})
	conn, err := (&net.Dialer{Control: small(unix.SO_RCVBUF)}).DialContext(t.Context(), "tcp", socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	seen.await(t, "the answer", func(c Counts) bool { return c.Positives == 1 })

	var draining sync.WaitGroup
	defer draining.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var refused int
	for sent := 1; ; sent++ { // until messages are not even refused any more
		io.WriteString(conn, "nonsense\n")
		seen.await(t, "nonsense", func(c Counts) bool { return sum(c.Malformed[Client][:]) == int64(sent) })
		if refused = int(seen.get().Refused[RefusedUndecodable]); refused < sent {
			break
		}
		if sent == 1 {
			draining.Go(func() { l.Drain(ctx) })
		}
	}
	want := string(answer) + strings.Repeat("NAK 0 ERRDECODE\n", refused)
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != want {
		t.Errorf("got %d bytes and %v, want %d and the end", len(got), err, len(want))
	}
	conn.Close()
}

// notASocket is a connection that can't be waited for.
type notASocket struct {
	*os.File
	net.Conn // for the methods that nobody calls
	released *atomic.Int32
}

func (n notASocket) Detach() (net.Conn, func())         { return n, func() { n.released.Add(1) } }
func (n notASocket) Close() error                       { return n.File.Close() }
func (n notASocket) Read(b []byte) (int, error)         { return n.File.Read(b) }
func (n notASocket) Write(b []byte) (int, error)        { return n.File.Write(b) }
func (n notASocket) RemoteAddr() net.Addr               { return &net.UnixAddr{} }
func (n notASocket) SetDeadline(t time.Time) error      { return n.File.SetDeadline(t) }
func (n notASocket) SetReadDeadline(t time.Time) error  { return n.File.SetReadDeadline(t) }
func (n notASocket) SetWriteDeadline(t time.Time) error { return n.File.SetWriteDeadline(t) }

func TestAnUpstreamConnectionThatCannotBeWaitedForIsAFailedDial(t *testing.T) {
	up := upstreamServer(t, "tcp", "127.0.0.1:0", acknowledge)
	var released atomic.Int32
	first := true
	_, seen, address := driven{TB: t}.serve(Settings{
		Policy: Policy{Budget: time.Minute, Backoff: Backoff{Initial: time.Millisecond, Max: time.Millisecond}},
		Upstream: socketDialFunc(func(ctx context.Context) (net.Conn, error) {
			if !first {
				return dialTo(up.Addr().String()).Dial(ctx)
			}
			first = false
			var file *os.File
			for range 100 { // a descriptor above all that the loop has seen
				one, err := os.Create(filepath.Join(t.TempDir(), "file"))
				if err != nil {
					return nil, err
				}
				t.Cleanup(func() { one.Close() })
				file = one
			}
			return notASocket{File: file, released: &released}, nil
		}),
	})
	conn := connect(t, address)
	io.WriteString(conn, "REQ 1 x\n")
	expectLine(t, bufio.NewReader(conn), "ACK 1 x\n")
	if c := seen.get(); c.DialFailures != 1 || c.Dialed != 1 || released.Load() != 1 {
		t.Errorf("got %d releases and %+v", released.Load(), c)
	}
}

func TestWhatFollowsUrgentDataIsRead(t *testing.T) { eachDriver(t, testWhatFollowsUrgentDataIsRead) }

func testWhatFollowsUrgentDataIsRead(t driven) {
	up := upstreamServer(t, "tcp", "127.0.0.1:0", acknowledge)
	ready := make(chan struct{})
	_, _, address := t.serve(Settings{Upstream: socketDialFunc(func(ctx context.Context) (net.Conn, error) {
		<-ready
		return dialTo(up.Addr().String()).Dial(ctx)
	})})
	conn := connect(t, address)
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(conn, "REQ 1 x\n")
	control(t, conn, func(fd int) error { return unix.Send(fd, []byte("!"), unix.MSG_OOB) })
	io.WriteString(conn, "REQ 2 x\n")
	close(ready)
	in := bufio.NewReader(conn)
	expectLine(t, in, "ACK 1 x\n")
	expectLine(t, in, "ACK 2 x\n")
}
