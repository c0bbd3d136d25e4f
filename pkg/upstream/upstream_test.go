package upstream

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is a dialer that knows which addresses are down, and remembers which
// were tried.
type network struct {
	down  map[string]bool
	tried []string
}

func (n *network) dial(_ context.Context, _, address string) (net.Conn, error) {
	n.tried = append(n.tried, address)
	if n.down[address] {
		return nil, errors.New("refused by " + address)
	}
	here, there := net.Pipe()
	there.Close()
	return here, nil
}

func (n *network) take() []string {
	tried := n.tried
	n.tried = nil
	return tried
}

func TestEndpointsTakeTurnsAndStandInForEachOther(t *testing.T) {
	now := time.Unix(1000, 0)
	var logged []string
	n := &network{down: map[string]bool{}}
	u := New(Options{
		Name: "up", Addresses: []string{"a:1", "b:1", "c:1"}, Dial: n.dial, Now: func() time.Time { return now },
		Log: funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{}),
	})
	dial := func(want ...string) {
		t.Helper()
		conn, err := u.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if got := n.take(); !slices.Equal(got, want) {
			t.Errorf("tried %v, want %v", got, want)
		}
	}
	dial("a:1")
	dial("b:1")
	dial("c:1")
	n.down["a:1"] = true
	dial("a:1", "b:1")
	dial("b:1")
	dial("c:1")
	dial("b:1") // its turn, but it was down a moment ago
	now = now.Add(avoidTime)
	n.down["a:1"] = false
	dial("b:1")
	dial("c:1")
	dial("a:1")
	if len(logged) != 2 || !strings.Contains(logged[0], "refused by a:1") || !strings.Contains(logged[1], "reached again") {
		t.Errorf("logged %q, want one line for each change", logged)
	}
}

func TestAnEndpointThatComesAndGoesDoesNotFillTheLog(t *testing.T) {
	now := time.Unix(1000, 0)
	var logged []string
	n := &network{down: map[string]bool{}}
	u := New(Options{
		Name: "up", Addresses: []string{"a:1"}, Dial: n.dial, Now: func() time.Time { return now },
		Log: funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{}),
	})
	for i := range 100 {
		n.down["a:1"] = i%2 == 0
		if conn, err := u.Dial(t.Context()); err == nil {
			conn.Close()
		}
	}
	n.down["a:1"] = true
	now = now.Add(logInterval)
	if _, err := u.Dial(t.Context()); err == nil {
		t.Fatal("reached what is down")
	}
	if len(logged) != logChanges+1 || !strings.Contains(logged[logChanges], `"failures"=49`) {
		t.Errorf("logged %q, want %d lines, and one more of the 49 failures since", logged, logChanges)
	}
}

func TestErrorNamesTheUpstreamAndEveryEndpoint(t *testing.T) {
	n := &network{down: map[string]bool{"a:1": true, "b:1": true}}
	u := New(Options{Name: "orders", Addresses: []string{"a:1", "b:1"}, Dial: n.dial})
	if !u.Stats().Reachable() {
		t.Error("an upstream that was never dialed counts as unreachable")
	}
	_, err := u.Dial(t.Context())
	for _, part := range []string{"orders", "refused by a:1", "refused by b:1"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want it to name %s", err, part)
		}
	}
	s := u.Stats()
	if s.Reachable() || s.Endpoints[0].Failed != 1 || s.Endpoints[1].LastError == "" {
		t.Errorf("got %+v", s)
	}
}

func TestAnAttemptThatIsCalledOffSaysNothingOfTheEndpoint(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	u := New(Options{Name: "up", Addresses: []string{"a:1"}, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	if _, err := u.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	if e := u.Stats().Endpoints[0]; e.Failed != 0 || e.LastError != "" {
		t.Errorf("got %+v", e)
	}
}

func TestAttemptThatIsNotMadeSaysNothingOfTheEndpoint(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	n := &network{}
	u := New(Options{Name: "up", Addresses: []string{"a:1"}, Dial: n.dial})
	if _, err := u.Dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
	if e := u.Stats().Endpoints[0]; len(n.take()) > 0 || e.Failed != 0 || e.LastError != "" {
		t.Errorf("got %+v", e)
	}
}

func TestAttemptIsBounded(t *testing.T) {
	u := New(Options{Name: "up", Addresses: []string{"a:1"}, ConnectTimeout: time.Millisecond, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	if _, err := u.Dial(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestConnectionsOfBothNetworksAreCountedAndCanBeHalfClosed(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	_, port, _ := net.SplitHostPort(tcp.Addr().String())
	// A name that has two addresses, of which one answers.
	u := New(Options{Name: "up", Addresses: []string{"localhost:" + port, "unix:" + unix.Addr().String()}, KeepAlive: time.Minute})
	for i := range 2 {
		conn, err := u.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := conn.(interface{ CloseWrite() error }); !ok {
			t.Errorf("connection %d can't be half closed", i)
		}
		if open := u.Stats().Open; open != 1 {
			t.Errorf("%d connections are open, want 1", open)
		}
		conn.Close()
		conn.Close()
		if open := u.Stats().Open; open != 0 {
			t.Errorf("%d connections are open, want none", open)
		}
	}
}
