package inspect

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// conversation is a real session that an inspector observes.
type conversation struct {
	observer proxy.Observer
	session  *proxy.Session
	upstream *proxy.Connection
	now      time.Duration
	seq      int
}

func converseFor(i *Inspector) *conversation {
	c := &conversation{
		observer: newSession(i),
		session:  proxy.NewSession(foo.Protocol{}, &proxy.Policy{}),
		upstream: newConnection(time.Second), now: time.Second,
	}
	c.tell(func(b *proxy.Batch) { c.session.Start(b) })
	c.tell(func(b *proxy.Batch) { c.session.Connected(b) })
	return c
}

func (c *conversation) tell(event func(b *proxy.Batch)) {
	b := &proxy.Batch{At: c.now, Interest: c.observer.Interest(), Upstream: c.upstream}
	event(b)
	c.observer.Observe(b)
}

// exchange sends n requests at once and answers them at once.
func (c *conversation) exchange(n int, answer string) {
	var requests, answers strings.Builder
	for range n {
		c.seq++
		fmt.Fprintf(&requests, "REQ %d secret\n", c.seq)
		fmt.Fprintf(&answers, "%s %d secret\n", answer, c.seq)
	}
	c.tell(func(b *proxy.Batch) { c.session.ClientBytes([]byte(requests.String()), b) })
	c.now += time.Millisecond
	c.tell(func(b *proxy.Batch) { c.session.UpstreamBytes([]byte(answers.String()), b) })
}

func TestSpansOfARealSessionAddUpToItsPairs(t *testing.T) {
	const acks, naks = 100_000, 2500
	tracer := new(fakeTracer)
	i := New(options())
	s := traced(tracer)
	s.Ratio, s.PerSecond = 0.1, 1000
	i.Configure(s)
	c := converseFor(i)
	for range acks / 4000 {
		c.exchange(4000, "ACK")
		i.handleQueued()
		c.exchange(naks/(acks/4000), "NAK")
		i.handleQueued()
	}
	sum := i.owed
	for _, s := range tracer.spans {
		class, _ := classOf(&s.pair)
		sum[class] += s.record.AdjustedCount
	}
	if sum[classFailed] != naks {
		t.Errorf("the spans of refused pairs stand for %v, want %d", sum[classFailed], naks)
	}
	// One in ten of 100000 has a standard deviation of 95, which stands for 950.
	if off := math.Abs(sum[classSampled] - acks); off > 5*950 {
		t.Errorf("the spans of ordinary pairs stand for %v, want %d within 5 standard deviations", sum[classSampled], acks)
	}
	if got := i.Stats(); got.Dropped.Limit == 0 {
		t.Errorf("nothing was left out, so that nothing was tested: %+v", got)
	}
}

func TestATapOfARealSessionAccountsForEveryPair(t *testing.T) {
	i := New(options())
	end := watch(t, i, Filter{})
	c := converseFor(i)
	for _, n := range []int{1, 30, 5000} {
		c.exchange(n, "ACK")
		c.exchange(n, "NAK")
		i.handleQueued()
	}
	i.tick()
	lines := end()
	shown := len(lines) - 1
	want := fmt.Sprintf("{\"omitted\":%d}", 2*5031-shown)
	if got := lines[shown]; shown != DefaultTapRate || strings.TrimSpace(got) != want {
		t.Errorf("got %d lines and then %s, want %d and %s", shown, got, DefaultTapRate, want)
	}
}
