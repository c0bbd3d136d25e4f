package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/server"
)

func TestClientAndServerCountTheSame(t *testing.T) {
	const n = 5_001
	for name, o := range map[string]server.Options{
		"echo":         {},
		"NAKs":         {NAK: 0.1},
		"late":         {Delay: 2 * time.Millisecond, DelaySpread: time.Millisecond},
		"out of order": {OutOfOrder: true},
		"everything":   {NAK: 0.3, Delay: time.Millisecond, DelaySpread: time.Millisecond, OutOfOrder: true, ResponseSize: 100},
	} {
		for _, size := range []int{0, 1, 7, 32, 1000} {
			if o.ResponseSize > 0 && size == 0 {
				continue // a padded answer to no Data
			}
			t.Run(fmt.Sprintf("%s, size %d", name, size), func(t *testing.T) {
				s, dial, stop := serve(t, o)
				r := mustRun(t, t.Context(), Options{Dial: dial, Connections: 7, Pipeline: 50, Size: size, Requests: n})
				stop()
				got := s.Stats()
				if r.Sent != n || got.Requests != n || r.ACKs != got.ACKs || r.NAKs != got.NAKs || r.ACKs+r.NAKs != n {
					t.Errorf("client %+v\nserver %+v\nwant %d requests, and equal counts", r.Counts, got, n)
				}
				if r.Opened != 7 || r.Lost != 0 || r.Latency.Count() != n || !r.Complete() {
					t.Errorf("got %+v, %d latencies, not sent %d", r.Counts, r.Latency.Count(), r.NotSent)
				}
			})
		}
	}
}

func TestManyConnectionsCountTheSame(t *testing.T) {
	s, dial, stop := serve(t, server.Options{NAK: 0.05})
	const connections, n = 1000, 50_000
	r := mustRun(t, t.Context(), Options{Dial: dial, Connections: connections, Pipeline: 8, Size: 24, Requests: n})
	stop()
	want := server.Stats{Connections: connections, Requests: n, ACKs: r.ACKs, NAKs: n - r.ACKs}
	if diff := cmp.Diff(want, s.Stats()); diff != "" || !r.Complete() {
		t.Errorf("client %+v, server: -want +got:\n%s", r.Counts, diff)
	}
}

func TestConnectionIsReplacedAfterItsRequests(t *testing.T) {
	const n, connections = 500, 3
	for name, o := range map[string]Options{
		"one each":  {Pipeline: 1, RequestsPerConnection: 1},
		"pipelined": {Pipeline: 10, RequestsPerConnection: 7},
		"open loop": {Pipeline: 10, RequestsPerConnection: 7, Rate: 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			s, dial, stop := serve(t, server.Options{})
			o.Dial, o.Connections, o.Requests, o.Grace, o.Size = dial, connections, n, time.Minute, 24
			r := mustRun(t, t.Context(), o)
			stop()
			want := Counts{Sent: n, ACKs: n, Opened: s.Stats().Connections}
			got := r.Counts
			got.BytesSent, got.BytesReceived = 0, 0
			if diff := cmp.Diff(want, got); diff != "" || !r.Complete() || s.Stats().Requests != n {
				t.Errorf("server %+v; -want +got:\n%s", s.Stats(), diff)
			}
			// Who opens a connection may find that another one has sent the last
			// request meanwhile.
			least := int64((n + o.RequestsPerConnection - 1) / o.RequestsPerConnection)
			if r.Opened < least || r.Opened > least+2*connections {
				t.Errorf("got %d connections, want %d or a few more", r.Opened, least)
			}
		})
	}
}

// A dialer goes by the clock, and may give up before the context has ended.
func TestConnectionThatTimeDoesNotSufficeForIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		up := scripted(func(_ int, p *peer) {
			r, _ := p.request()
			p.say("ACK " + r)
			p.drain()
		})
		dial := func(ctx context.Context) (net.Conn, error) {
			if first {
				first = false
				return up(ctx)
			}
			if deadline, ok := ctx.Deadline(); ok {
				time.Sleep(time.Until(deadline) - time.Nanosecond) // virtual
				return nil, os.ErrDeadlineExceeded
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		r := mustRun(t, t.Context(), Options{Dial: dial, Duration: time.Second, RequestsPerConnection: 1})
		if r.ACKs != 1 || r.Failed != 0 {
			t.Errorf("got %+v, want one answer and no failure", r.Counts)
		}
	})
}

func TestConnectionsAreReplacedUntilTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := scripted(func(_ int, p *peer) {
			r, _ := p.request()
			time.Sleep(time.Second) // virtual
			p.say("ACK " + r)
			p.drain()
		})
		r := mustRun(t, t.Context(), Options{Dial: dial, Duration: 9500 * time.Millisecond, RequestsPerConnection: 1})
		if r.ACKs != 10 || r.Opened != 10 || !r.Complete() {
			t.Errorf("got %+v, want 10 answers over a connection each", r.Counts)
		}
	})
}

// pausing is a server that answers at once, except for one pause.
func pausing(from, pause time.Duration) dialFunc {
	began := time.Now()
	paused := false
	return scripted(func(_ int, p *peer) {
		for r, ok := p.request(); ok; r, ok = p.request() {
			if !paused && time.Since(began) >= from {
				paused = true
				time.Sleep(pause) // virtual
			}
			p.say("ACK " + r)
		}
	})
}

// A server pauses for 2 of 10 s, at 100 requests a second on one connection.
// Two hundred requests wait, on average for a second, although only one was
// outstanding.
func TestOpenLoopLatencyIncludesTheWaitToBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := mustRun(t, t.Context(), Options{
			Dial: pausing(5*time.Second, 2*time.Second), Size: 24, Rate: 100, Duration: 10 * time.Second,
		})
		if r.ACKs != 1000 || !r.Complete() {
			t.Fatalf("got %+v, want 1000 answers", r.Counts)
		}
		if got, want := r.Latency.Max(), 2*time.Second; got != want {
			t.Errorf("max: got %v, want %v", got, want)
		}
		if got := r.Latency.Quantile(0.9); got < 950*time.Millisecond || got > 1050*time.Millisecond {
			t.Errorf("p90: got %v, want about 1s: one request in ten waited longer", got)
		}
		if got := r.Latency.Quantile(0.79); got > time.Millisecond {
			t.Errorf("p79: got %v, want next to nothing: four in five did not wait", got)
		}
	})
}

// The same pause in a closed loop holds up one request.
func TestClosedLoopLatencyIsThatOfWhatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := mustRun(t, t.Context(), Options{
			Dial: pausing(0, 2*time.Second), Size: 24, Requests: 1000,
		})
		if r.Latency.Max() != 2*time.Second || r.Latency.Quantile(0.99) != 0 {
			t.Errorf("got max %v, p99 %v, want 2s, 0s", r.Latency.Max(), r.Latency.Quantile(0.99))
		}
	})
}

func TestRateIsKeptOverAllConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		perSecond := map[time.Duration]int{}
		dial := scripted(func(_ int, p *peer) {
			for r, ok := p.request(); ok; r, ok = p.request() {
				mu.Lock()
				perSecond[time.Since(began).Truncate(time.Second)]++
				mu.Unlock()
				p.say("ACK " + r)
			}
		})
		r := mustRun(t, t.Context(), Options{Dial: dial, Connections: 3, Pipeline: 5, Rate: 200, Duration: 3 * time.Second})
		want := map[time.Duration]int{0: 200, time.Second: 200, 2 * time.Second: 200}
		if diff := cmp.Diff(want, perSecond); diff != "" || r.ACKs != 600 {
			t.Errorf("got %d answers; requests a second: -want +got:\n%s", r.ACKs, diff)
		}
		if r.Latency.Max() != 0 {
			t.Errorf("latency: got %v, want none with a server that needs no time", r.Latency.Max())
		}
	})
}

func TestRateThatIsTooHighEndsInTimeAndSaysWhatWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		dial := scripted(func(_ int, p *peer) { // 10 requests a second
			for r, ok := p.request(); ok; r, ok = p.request() {
				time.Sleep(100 * time.Millisecond) // virtual
				p.say("ACK " + r)
			}
		})
		r := mustRun(t, t.Context(), Options{Dial: dial, Rate: 100, Duration: 10 * time.Second, Grace: 5 * time.Second})
		if r.Sent+r.NotSent != 1000 || r.Sent < 149 || r.Sent > 151 || r.Complete() {
			t.Errorf("got %+v, not sent %d, want 1000 in all and 10 a second sent in 15s", r.Counts, r.NotSent)
		}
		if took := time.Since(began); took > 16*time.Second {
			t.Errorf("took %v, want 10s and 5s of grace", took)
		}
	})
}

func TestDurationEndsAClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := scripted(func(_ int, p *peer) {
			for r, ok := p.request(); ok; r, ok = p.request() {
				time.Sleep(time.Second) // virtual
				p.say("ACK " + r)
			}
		})
		r := mustRun(t, t.Context(), Options{Dial: dial, Duration: 9500 * time.Millisecond})
		if r.ACKs != 10 || r.Elapsed != 10*time.Second || !r.Complete() || r.Throughput() != 1 {
			t.Errorf("got %+v in %v, want 10 answers in 10s", r.Counts, r.Elapsed)
		}
	})
}

func TestAnswersAreAwaitedForTheGraceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		dial := scripted(func(_ int, p *peer) {
			r, _ := p.request()
			time.Sleep(4 * time.Second) // virtual
			p.say("ACK " + r)
			p.drain()
		})
		r := mustRun(t, t.Context(), Options{Dial: dial, Pipeline: 3, Requests: 3, Grace: 5 * time.Second})
		if r.ACKs != 1 || r.Unanswered != 2 || r.Lost != 0 || r.Complete() {
			t.Errorf("got %+v, want one answer in time", r.Counts)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v, want 5s", took)
		}
	})
}

func TestPeerThatReadsNothingDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		release := make(chan struct{})
		dial := scripted(func(_ int, p *peer) {
			_, _ = io.ReadFull(p.lines, make([]byte, 10)) // and some read ahead
			<-release
		})
		r := mustRun(t, t.Context(), Options{Dial: dial, Pipeline: 1000, Size: 1000, Duration: time.Second, Grace: time.Second})
		close(release)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("took %v, want about 2s", took)
		}
		if r.Unanswered != r.Sent || r.Sent >= 1000 {
			t.Errorf("got %+v, want what was written to the end counted as sent and unanswered", r.Counts)
		}
	})
}

func TestLostConnectionIsReplacedWhereThatIsWanted(t *testing.T) {
	const n = 100
	dial := func() dialFunc {
		return scripted(func(i int, p *peer) {
			for answered := 0; ; answered++ {
				r, ok := p.request()
				if !ok || i < 3 && answered == 10 {
					return
				}
				p.say("ACK " + r)
			}
		})
	}
	t.Run("replaced", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := mustRun(t, t.Context(), Options{Dial: dial(), Size: 24, Requests: n, Reconnect: true})
			want := Counts{Opened: 4, Lost: 3, Sent: n, ACKs: n - 3, Unanswered: 3}
			r.BytesSent, r.BytesReceived = 0, 0
			if diff := cmp.Diff(want, r.Counts); diff != "" || r.NotSent != 0 {
				t.Errorf("not sent %d; -want +got:\n%s", r.NotSent, diff)
			}
		})
	})
	t.Run("not replaced", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := mustRun(t, t.Context(), Options{Dial: dial(), Size: 24, Requests: n})
			want := Counts{Opened: 1, Lost: 1, Sent: 11, ACKs: 10, Unanswered: 1}
			r.BytesSent, r.BytesReceived = 0, 0
			if diff := cmp.Diff(want, r.Counts); diff != "" || r.NotSent != n-11 {
				t.Errorf("not sent %d; -want +got:\n%s", r.NotSent, diff)
			}
		})
	})
}

// The requests that were due while there was no connection are sent later, and
// their latency tells.
func TestOpenLoopLatencyIncludesTheTimeWithoutConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		up := scripted(func(i int, p *peer) {
			for r, ok := p.request(); ok; r, ok = p.request() {
				p.say("ACK " + r)
				if i == 0 && time.Since(began) >= 2*time.Second {
					return
				}
			}
		})
		dial := func(ctx context.Context) (net.Conn, error) {
			if since := time.Since(began); since > 0 && since < 4*time.Second {
				return nil, errors.New("down")
			}
			return up(ctx)
		}
		r := mustRun(t, t.Context(), Options{Dial: dial, Rate: 100, Duration: 10 * time.Second, Reconnect: true})
		if r.Sent != 1000 || r.Lost != 1 || r.Failed == 0 || r.ConnectError == nil {
			t.Errorf("got %+v, want 1000 sent", r.Counts)
		}
		if got := r.Latency.Max(); got < 1900*time.Millisecond || got > 2100*time.Millisecond {
			t.Errorf("max: got %v, want about 2s", got)
		}
	})
}

func TestNoConnectionIsAnError(t *testing.T) {
	refused := errors.New("refused")
	o := Options{
		Dial:        func(context.Context) (net.Conn, error) { return nil, refused },
		Connections: 3, Pipeline: 1, Requests: 1,
	}
	r, err := Run(t.Context(), o)
	if !errors.Is(err, refused) || r.Failed != 3 || r.NotSent != 1 {
		t.Errorf("got %+v, %v, want 3 failures and the reason", r.Counts, err)
	}
}

func TestSilentPeerIsGivenUpAfterTheConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := Run(t.Context(), Options{
			Dial: func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			Connections: 1, Pipeline: 1, Requests: 1, ConnectTimeout: time.Second,
		})
		if err == nil || !strings.Contains(err.Error(), "no connection within 1s") {
			t.Errorf("got %v, want the time-out named", err)
		}
	})
}

func TestInterruptedRunAwaitsItsAnswers(t *testing.T) {
	_, dial, _ := serve(t, server.Options{Delay: 20 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan struct{})
	o := Options{Dial: dial, Connections: 4, Pipeline: 10, Size: 24, Requests: 1 << 40}
	o.Progress = func(p Progress) {
		if p.ACKs > 0 {
			cancel()
			close(seen)
		}
	}
	r := mustRun(t, ctx, o)
	<-seen
	if r.ACKs == 0 || !r.Complete() {
		t.Errorf("got %+v, not sent %d, want everything answered that was sent", r.Counts, r.NotSent)
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	good := Options{Connections: 1, Pipeline: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Options){
		"connections": func(o *Options) { o.Connections = 0 },
		"no pipeline": func(o *Options) { o.Pipeline = 0 },
		"pipeline":    func(o *Options) { o.Pipeline = 1 << 30 },
		"connection":  func(o *Options) { o.RequestsPerConnection = -1 },
		"size":        func(o *Options) { o.Size = -1 },
		"rate":        func(o *Options) { o.Rate = -1 },
		"requests":    func(o *Options) { o.Requests = -1 },
		"duration":    func(o *Options) { o.Duration = -1 },
	} {
		o := good
		change(&o)
		if o.Validate() == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// The cost of a request and its answer, client, server and kernel together.
func BenchmarkPair(b *testing.B) {
	for _, pipeline := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("Pipeline%d", pipeline), func(b *testing.B) {
			_, dial, _ := serve(b, server.Options{})
			b.ReportAllocs()
			r := mustRun(b, context.Background(), Options{
				Dial: dial, Connections: 16, Pipeline: pipeline, Size: 32, Requests: int64(b.N),
			})
			if r.ACKs != int64(b.N) {
				b.Fatalf("got %d answers to %d requests", r.ACKs, b.N)
			}
			b.ReportMetric(r.Throughput(), "pairs/s")
		})
	}
}
