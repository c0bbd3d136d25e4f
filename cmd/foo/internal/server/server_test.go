package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves on a loopback port until the test ends.
func start(t testing.TB, o Options) (s *Server, address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, l.Addr().String(), stop
}

// talk sends input on one connection, half-closes it, and returns all that
// comes back.
func talk(t testing.TB, address, input string) string {
	t.Helper()
	conn, err := wire.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, input)
		_ = conn.(*net.TCPConn).CloseWrite()
		sent <- err
	}()
	out, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// requests returns REQ 1 to n, with their number as Data.
func requests(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "REQ %d d%d\n", i+1, i+1)
	}
	return b.String()
}

func TestServerAnswersWhatItIsAsked(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		opts           Options
		stats          Stats
	}{
		{
			name: "echo", in: "REQ 1 hello\nREQ 2\nREQ 3 two words\n",
			want:  "ACK 1 hello\nACK 2\nACK 3 two words\n",
			stats: Stats{Requests: 3, ACKs: 3},
		},
		{
			name: "odd spelling", in: "REQ\t+07   x  \r\n",
			want:  "ACK 7 x\n",
			stats: Stats{Requests: 1, ACKs: 1},
		},
		{
			name: "every answer a NAK", in: "REQ 1 hello\n", opts: Options{NAK: 1},
			want:  "NAK 1 hello\n",
			stats: Stats{Requests: 1, NAKs: 1},
		},
		{
			name: "longer and shorter answers", in: "REQ 1 a\nREQ 2 abcdef\nREQ 3\n", opts: Options{ResponseSize: 4},
			want:  "ACK 1 a...\nACK 2 abcd\nACK 3 ....\n",
			stats: Stats{Requests: 3, ACKs: 3},
		},
		{
			name: "undecodable", in: "HELLO\nREQ x\n\nREQ 1 fine\n",
			want:  "NAK 0 ERRDECODE\nNAK 0 ERRDECODE\nNAK 0 ERRDECODE\nACK 1 fine\n",
			stats: Stats{Requests: 1, ACKs: 1, Undecodable: 3},
		},
		{
			name: "line too long", in: "REQ 1 " + strings.Repeat("x", 99) + "\nREQ 2 y\n", opts: Options{MaxLine: 50},
			want:  "NAK 0 ERRDECODE\nACK 2 y\n",
			stats: Stats{Requests: 1, ACKs: 1, Undecodable: 1},
		},
		{
			name: "answers are not answered", in: "ACK 1 x\nNAK 2 y\nREQ 3 z\n",
			want:  "ACK 3 z\n",
			stats: Stats{Requests: 1, ACKs: 1, Unexpected: 2},
		},
		{
			name: "unfinished line", in: "REQ 1 a\nREQ 2 b",
			want:  "ACK 1 a\n",
			stats: Stats{Requests: 1, ACKs: 1},
		},
		{name: "nothing", in: "", want: ""},
	} {
		for _, delay := range []time.Duration{0, time.Nanosecond} { // both ways to answer
			t.Run(fmt.Sprintf("%s, delay %v", tt.name, delay), func(t *testing.T) {
				tt.opts.Delay = delay
				s, address, stop := start(t, tt.opts)
				if diff := cmp.Diff(tt.want, talk(t, address, tt.in)); diff != "" {
					t.Errorf("answers: -want +got:\n%s", diff)
				}
				stop()
				tt.stats.Connections = 1
				if diff := cmp.Diff(tt.stats, s.Stats()); diff != "" {
					t.Errorf("statistics: -want +got:\n%s", diff)
				}
			})
		}
	}
}

func TestShareOfNAKsIsKeptAndRepeatable(t *testing.T) {
	const n = 10_000
	o := Options{NAK: 0.2, Seed: 7}
	s, address, stop := start(t, o)
	first := talk(t, address, requests(n))
	stop()
	if got := s.Stats(); got.ACKs+got.NAKs != n || got.NAKs < n*15/100 || got.NAKs > n*25/100 {
		t.Errorf("got %+v, want %d answers and about a fifth of them NAKs", got, n)
	}
	_, address, _ = start(t, o)
	if talk(t, address, requests(n)) != first {
		t.Error("the same seed gave other answers")
	}
	_, address, _ = start(t, Options{NAK: 0.2, Seed: 8})
	if talk(t, address, requests(n)) == first {
		t.Error("another seed gave the same answers")
	}
}

func TestOutOfOrderAnswersAreAllThere(t *testing.T) {
	const n = 5000
	_, address, _ := start(t, Options{OutOfOrder: true})
	got := strings.Split(talk(t, address, requests(n)), "\n")
	want := strings.Split(strings.ReplaceAll(requests(n), "REQ", "ACK"), "\n")
	if slices.Equal(got, want) {
		t.Error("answers came in order")
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in any order: -want +got:\n%s", diff)
	}
}

// onPipe serves one connection over an in-memory pipe, so that time can be
// virtual.
func onPipe(ctx context.Context, o Options) net.Conn {
	client, server := net.Pipe()
	go New(o).newConn(server, 1).serve(ctx)
	return client
}

func TestDelayedAnswersComeInTimeAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		conn := onPipe(t.Context(), Options{Delay: time.Second, DelaySpread: 300 * time.Millisecond})
		defer func() { _ = conn.Close() }()
		began := time.Now()
		if _, err := io.WriteString(conn, requests(n)); err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewScanner(conn)
		for i := range n {
			answers.Scan()
			if got, want := answers.Text(), fmt.Sprintf("ACK %d d%d", i+1, i+1); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
			late := time.Since(began)
			if late < 700*time.Millisecond || late > 1300*time.Millisecond {
				t.Errorf("%q came after %v, want 1s and at most 300ms more or less", answers.Text(), late)
			}
			if i == 0 && late > time.Second {
				t.Errorf("the first answer came after %v, so there is no spread", late)
			}
		}
	})
}

func TestOneAnswerMayOvertakeAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := onPipe(t.Context(), Options{Delay: time.Second, OutOfOrder: true, Seed: 1})
		defer func() { _ = conn.Close() }()
		answers := bufio.NewScanner(conn)
		inOrder := true
		for seq := 0; seq < 20; seq += 2 {
			for i := range 2 { // half a delay apart, so that both are outstanding when one is due
				if _, err := fmt.Fprintf(conn, "REQ %d\n", seq+i); err != nil {
					t.Fatal(err)
				}
				time.Sleep(500 * time.Millisecond) // virtual
			}
			answers.Scan()
			inOrder = inOrder && answers.Text() == fmt.Sprintf("ACK %d", seq)
			answers.Scan()
		}
		if inOrder {
			t.Error("no answer ever overtook another")
		}
	})
}

func TestHalfCloseIsFollowedByTheAnswersThatAreLate(t *testing.T) {
	_, address, _ := start(t, Options{Delay: 20 * time.Millisecond})
	if got, want := talk(t, address, requests(3)), "ACK 1 d1\nACK 2 d2\nACK 3 d3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStoppedServerAnswersWhatItHasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		conn := onPipe(ctx, Options{Delay: time.Second})
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, requests(100)); err != nil {
			t.Fatal(err)
		}
		cancel()
		got, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.ReplaceAll(requests(100), "REQ", "ACK"), string(got)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestEveryAnswerOfAStoppedServerArrives(t *testing.T) {
	for _, o := range []Options{{}, {Delay: time.Millisecond}} {
		s, address, stop := start(t, o)
		conn, err := wire.Dial(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		flooded := make(chan struct{})
		go func() { // keeps sending whatever the server does
			defer close(flooded)
			for err := error(nil); err == nil; {
				_, err = io.WriteString(conn, requests(100))
			}
		}()
		answers := bufio.NewScanner(conn)
		n := int64(0)
		for answers.Scan() {
			if n++; n == 1 {
				go stop()
			}
		}
		if err := answers.Err(); err != nil {
			t.Errorf("delay %v: after %d answers: %v, want an orderly end", o.Delay, n, err)
		}
		_ = conn.Close()
		<-flooded
		stop()
		if got := s.Stats().ACKs; got != n {
			t.Errorf("delay %v: server counted %d answers, client got %d", o.Delay, got, n)
		}
		if conn, err := wire.Dial(t.Context(), address); err == nil {
			_ = conn.Close()
			t.Error("a stopped server still accepts connections")
		}
	}
}

func TestClientThatTakesNoAnswersDoesNotKeepTheServerFromStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, o := range []Options{{}, {Delay: time.Second}} {
			ctx, cancel := context.WithCancel(t.Context())
			conn := onPipe(ctx, o)
			if _, err := io.WriteString(conn, "REQ 1\n"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second) // virtual: the answer is being written
			cancel()
			time.Sleep(time.Minute)
			if _, err := conn.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("delay %v: got %v, want the connection closed", o.Delay, err)
			}
			_ = conn.Close()
		}
	})
}

func TestMemoryOfLateAnswersIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		go func() {
			for range maxWaiting + 1 {
				q.push(time.Now(), []byte("ACK 1\n"), 0)
			}
			q.close()
		}()
		synctest.Wait()
		if q.n != maxWaiting {
			t.Errorf("got %d answers waiting, want a push to wait at %d", q.n, maxWaiting)
		}
		q.abandon() // lets the pusher go
		synctest.Wait()
	})
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, o := range []Options{
		{NAK: -0.1}, {NAK: 1.1}, {Delay: -1}, {DelaySpread: 2, Delay: 1}, {ResponseSize: -1}, {MaxLine: -1},
	} {
		if o.Validate() == nil {
			t.Errorf("%+v: got no error", o)
		}
	}
	if err := (Options{NAK: 1, Delay: 2, DelaySpread: 2}).Validate(); err != nil {
		t.Error(err)
	}
}

// loop is a connection that brings the same bytes n times and takes anything.
type loop struct {
	net.Conn
	input []byte
	n     int
}

func (l *loop) Read(b []byte) (int, error) {
	if l.n <= 0 {
		return 0, io.EOF
	}
	l.n--
	return copy(b, l.input), nil
}
func (l *loop) Write(b []byte) (int, error) { return len(b), nil }
func (l *loop) Close() error                { return nil }

// The cost of one request and its answer, without the kernel's.
func BenchmarkAnswer(b *testing.B) {
	const perRead = 64
	input := []byte(strings.Repeat("REQ 12345 00000001000000000000303900000000\n", perRead))
	for name, o := range map[string]Options{
		"AtOnce":     {},
		"NAKs":       {NAK: 0.1},
		"Sized":      {ResponseSize: 100},
		"OutOfOrder": {OutOfOrder: true},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			c := New(o).newConn(&loop{input: input, n: b.N/perRead + 1}, 1)
			c.serve(context.Background())
		})
	}
}
