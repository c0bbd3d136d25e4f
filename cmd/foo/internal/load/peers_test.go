package load

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/server"
	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type dialFunc = func(context.Context) (net.Conn, error)

// serve runs a server on a loopback port until the test ends, or stop is
// called.
func serve(t testing.TB, o server.Options) (s *server.Server, dial dialFunc, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = server.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- s.Serve(ctx, l)
		close(done)
	}()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return s, func(ctx context.Context) (net.Conn, error) { return wire.Dial(ctx, wire.Address(l)) }, stop
}

// scripted returns connections, in memory, to a peer that does what the script
// says. The script is told how many connections there were before.
func scripted(script func(i int, c *peer)) dialFunc {
	var n atomic.Int64
	return func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		i := int(n.Add(1)) - 1
		go func() {
			defer func() { _ = theirs.Close() }()
			script(i, &peer{conn: theirs, lines: bufio.NewReader(theirs)})
		}()
		return ours, nil
	}
}

// peer is the far end of a scripted connection.
type peer struct {
	conn  net.Conn
	lines *bufio.Reader
}

// request returns the Seq, with Data, of the next request; ok is false when
// the client has gone.
func (p *peer) request() (rest string, ok bool) {
	line, err := p.lines.ReadString('\n')
	return strings.TrimSpace(strings.TrimPrefix(line, "REQ")), err == nil
}

// say sends lines.
func (p *peer) say(lines ...string) {
	for _, line := range lines {
		_, _ = io.WriteString(p.conn, line+"\n")
	}
}

// drain reads until the client has gone.
func (p *peer) drain() { _, _ = io.Copy(io.Discard, p.lines) }

// mustRun runs with generous bounds where o has none.
func mustRun(t testing.TB, ctx context.Context, o Options) *Result {
	t.Helper()
	o.Connections = max(o.Connections, 1)
	o.Pipeline = max(o.Pipeline, 1)
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Outstanding(); got != 0 {
		t.Errorf("%d requests have not ended: %+v", got, r.Counts)
	}
	return r
}
