package proxy

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
)

// bench drives a session as a driver would, in one goroutine and with a clock
// that stands still unless it is told, and keeps everything that was said.
type bench struct {
	t       *testing.T
	session *Session
	now     time.Duration
	counts  Counts
	latency []time.Duration

	interest   *Interest
	pairs      []Pair
	violations []Violation
	omitted    int64

	toClient   string
	toUpstream []string // one for each connection
	fromClient string   // what the session was given
	last       Orders
	clientEnd  bool // writing to the client was shut down
	upEnd      bool // writing to the upstream was shut down
	linger     bool
	closed     bool
}

func newBench(t *testing.T, p Policy) *bench {
	t.Helper()
	p.Backoff.Jitter = func() float64 { return 0 }
	b := &bench{t: t, session: NewSession(foo.Protocol{}, &p)}
	b.do((*Session).Start)
	return b
}

// connected returns a bench whose session has its upstream connection.
func connected(t *testing.T, p Policy) *bench {
	t.Helper()
	b := newBench(t, p)
	b.connect()
	return b
}

func (b *bench) do(event func(*Session, *Batch) Orders) {
	b.t.Helper()
	out := Batch{At: b.now, Interest: b.interest}
	o := event(b.session, &out)
	b.counts.Add(&out.Counts)
	b.latency = append(b.latency, out.Latencies...)
	for _, p := range out.Pairs {
		p.Request, p.Answer = bytes.Clone(p.Request), bytes.Clone(p.Answer)
		b.pairs = append(b.pairs, p)
	}
	b.omitted += out.Omitted
	for _, v := range out.Violations {
		v.Raw = bytes.Clone(v.Raw)
		b.violations = append(b.violations, v)
	}
	if got, want := b.counts.Waiting() == 1, b.session.link == linkDialing; got != want {
		b.t.Fatalf("counted as waiting for a connection: %t, want %t", got, want)
	}
	b.last = o
	if o.Flush || o.EndClient {
		b.toClient += string(b.session.TakeReply())
	}
	b.clientEnd = b.clientEnd || o.EndClient
	b.upEnd = b.upEnd || o.EndUpstream
	b.closed = b.closed || o.Close
	b.linger = b.linger || o.Linger
	if got, want := b.counts.InFlight(), int64(b.session.pairs.len()); got != want {
		b.t.Fatalf("in flight by the counts: %d, outstanding: %d", got, want)
	}
	if got, want := b.counts.Sessions() == 0, b.closed; got != want {
		b.t.Fatalf("session counted as closed: %t, want %t", got, want)
	}
	if o.EndClient {
		b.do((*Session).ClientTold)
	}
}

func (b *bench) connect() {
	b.toUpstream = append(b.toUpstream, "")
	b.upEnd = false
	b.do((*Session).Connected)
}

func (b *bench) client(bytes string) {
	b.t.Helper()
	b.fromClient += bytes
	b.do(func(s *Session, out *Batch) Orders {
		o := s.ClientBytes([]byte(bytes), out)
		for _, part := range o.Pass {
			if len(part) > 0 {
				b.toUpstream[len(b.toUpstream)-1] += string(part)
			}
		}
		return o
	})
}

func (b *bench) upstream(bytes string) {
	b.t.Helper()
	b.do(func(s *Session, out *Batch) Orders {
		o := s.UpstreamBytes([]byte(bytes), out)
		for _, part := range o.Pass {
			b.toClient += string(part)
		}
		return o
	})
}

// expect compares what both sides got so far.
func (b *bench) expect(toClient string, toUpstream ...string) {
	b.t.Helper()
	if b.toClient != toClient {
		b.t.Errorf("to the client: got %q, want %q", b.toClient, toClient)
	}
	if !slices.Equal(b.toUpstream, toUpstream) {
		b.t.Errorf("to the upstream: got %q, want %q", b.toUpstream, toUpstream)
	}
}

// expectClosed expects the end of a session, if need be after the client has
// reacted to it.
func (b *bench) expectClosed(r CloseReason) {
	b.t.Helper()
	if b.clientEnd && !b.closed {
		b.do((*Session).ClientEnded)
	}
	if !b.closed || b.counts.Closed[r] != 1 {
		b.t.Errorf("closed by %v, want %s", b.counts.Closed, r)
	}
}

func TestRequestsArePairedWithTheirAnswersInAnyOrder(t *testing.T) {
	b := connected(t, Policy{})
	b.client("REQ 1 a\nREQ 2 b\nREQ 3")
	b.now = 5
	b.client(" c\r\n")
	b.now = 7
	b.upstream("ACK 3\nNAK 1 no\nAC")
	b.now = 9
	b.upstream("K 2\n")
	if got := b.counts; got.Acked != 2 || got.Naked != 1 || got.Requests != 3 || got.Positives != 2 || got.Negatives != 1 {
		t.Errorf("got %+v", got)
	}
	if want := []time.Duration{2, 6, 8}; !slices.Equal(b.latency, want) { // requests at time zero count from 1
		t.Errorf("latencies: got %v, want %v", b.latency, want)
	}
	b.expect("ACK 3\nNAK 1 no\nACK 2\n", "REQ 1 a\nREQ 2 b\nREQ 3 c\r\n")
}

func TestWhatTakesNoPartInAPairIsCountedAndPassedOn(t *testing.T) {
	b := connected(t, Policy{})
	b.client("REQ 0 zero\nREQ 7\nREQ 7\nACK 1 odd\ngarbage\n\n")
	b.upstream("NAK 0 ERRDECODE\nREQ 1 hello\nACK 9\nACK 7\nACK 7\nACK 7\nFOO\n")
	c := b.counts
	for name, pair := range map[string][2]int64{
		"msg_req":            {c.Requests, 4},
		"server requests":    {c.ServerRequests, 1},
		"client answers":     {c.ClientAnswers, 1},
		"acked":              {c.Acked, 2},
		"naked":              {c.Naked, 0},
		"negatives":          {c.Negatives, 1},
		"unmatched":          {c.Unmatched, 3}, // ERRDECODE, 9, the third 7
		"in flight":          {c.InFlight(), 1},
		"malformed client":   {c.Malformed[Client][protocol.FaultType], 2},
		"malformed upstream": {c.Malformed[Upstream][protocol.FaultType], 1},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %d, want %d", name, pair[0], pair[1])
		}
	}
	b.expect("NAK 0 ERRDECODE\nREQ 1 hello\nACK 9\nACK 7\nACK 7\nACK 7\nFOO\n",
		"REQ 0 zero\nREQ 7\nREQ 7\nACK 1 odd\ngarbage\n\n")
}

func TestHalfCloseIsPassedOnAndTheAnswersStillArrive(t *testing.T) {
	b := connected(t, Policy{})
	b.client("REQ 1\nREQ 2\n")
	b.do((*Session).ClientEnded)
	if !b.upEnd || b.closed {
		t.Fatalf("orders: %+v", b.last)
	}
	b.upstream("ACK 1\nACK 2\n")
	b.do(upstreamEnded)
	b.expect("ACK 1\nACK 2\n", "REQ 1\nREQ 2\n")
	b.expectClosed(ClosedByClient)
}

func TestOutstandingRequestsAreRefusedWhenTheUpstreamIsLost(t *testing.T) {
	b := connected(t, Policy{Budget: time.Second})
	b.client("REQ 1\nREQ 2\nREQ 3\n")
	b.upstream("ACK 2\n")
	b.do(upstreamBroken)
	b.expect("ACK 2\nNAK 1 upstream unavailable\nNAK 3 upstream unavailable\n", "REQ 1\nREQ 2\nREQ 3\n")
	if !b.last.Dial || b.last.DialAfter != 0 {
		t.Errorf("orders after the loss: %+v, want a dial at once", b.last)
	}
	if b.session.WantsClient() {
		t.Error("the client is read while there is no connection to pass its bytes to")
	}
	b.connect()
	b.client("REQ 4\n")
	b.upstream("ACK 4\n")
	b.do((*Session).ClientEnded)
	b.do(upstreamEnded)
	if b.counts.Refused[RefusedLost] != 2 || b.counts.Lost != 1 || b.counts.Acked != 2 {
		t.Errorf("got %+v", b.counts)
	}
	b.expectClosed(ClosedByClient)
}

func TestRequestThatWasHalfSentIsRefusedAndItsRestSwallowed(t *testing.T) {
	for _, cut := range []string{"R", "REQ", "REQ 5", "REQ 5 half"} {
		b := connected(t, Policy{Budget: time.Second})
		b.upstream("ACK 0\n") // the connection is good
		whole := "REQ 5 half sent\n"
		b.client(cut)
		b.do(upstreamEnded)
		b.connect()
		b.client(strings.TrimPrefix(whole, cut) + "REQ 6\n")
		b.expect("ACK 0\nNAK 5 upstream unavailable\n", cut, "REQ 6\n")
	}
}

func TestAnswerThatWasHalfReceivedEndsTheSession(t *testing.T) {
	b := connected(t, Policy{Budget: time.Second})
	b.client("REQ 1\nREQ 2\n")
	b.upstream("ACK 1 hal")
	b.do(upstreamBroken)
	b.expect("ACK 1 hal", "REQ 1\nREQ 2\n")
	b.expectClosed(ClosedTorn)
	if b.counts.Unanswered[UnansweredUpstreamLost] != 2 || b.counts.Malformed[Upstream][protocol.FaultTruncated] != 1 {
		t.Errorf("got %+v", b.counts)
	}
}

func TestClientWaitsForTheUpstreamUntilItsBudgetIsSpent(t *testing.T) {
	b := newBench(t, Policy{Budget: time.Second, Backoff: Backoff{Initial: 100 * time.Millisecond, Max: 400 * time.Millisecond}})
	var pauses []time.Duration
	for b.session.dialing() {
		pauses = append(pauses, b.last.DialAfter)
		b.now += b.last.DialAfter
		if b.session.WantsClient() {
			t.Fatal("the client is read while it waits")
		}
		b.do((*Session).DialFailed)
	}
	ms := time.Millisecond
	// The last ones leave time for the attempt.
	if want := []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 150 * ms, 75 * ms}; !slices.Equal(pauses, want) {
		t.Errorf("pauses before the dials: got %v, want %v", pauses, want)
	}
	b.toUpstream = append(b.toUpstream, "nobody")
	b.client("REQ 1 x\nREQ ")
	b.client("2\n")
	b.expect("NAK 1 upstream unavailable\nNAK 2 upstream unavailable\n", "nobody")
	if !b.session.WantsClient() || b.counts.Refused[RefusedUnavailable] != 2 {
		t.Errorf("got %+v", b.counts)
	}
	b.client("REQ 3 ha")
	b.connect()
	b.client("lf\nREQ 4\n")
	b.expect("NAK 1 upstream unavailable\nNAK 2 upstream unavailable\nNAK 3 upstream unavailable\n", "nobody", "REQ 4\n")
}

func TestUpstreamThatOnlyAcceptsIsNotDialedWithoutPause(t *testing.T) {
	b := connected(t, Policy{Budget: time.Second})
	const ms = time.Millisecond
	for _, want := range []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms} {
		b.do(upstreamEnded)
		if b.last.DialAfter != want {
			t.Errorf("pause after a useless connection: got %s, want %s", b.last.DialAfter, want)
		}
		b.connect()
	}
	b.client("REQ 1\n")
	b.upstream("ACK 1\n")
	b.do(upstreamEnded)
	if b.last.DialAfter != 0 {
		t.Errorf("pause after a useful connection: got %s, want none", b.last.DialAfter)
	}
}

func TestCloseOnLossBehavesLikeAPlainProxy(t *testing.T) {
	t.Run("unavailable", func(t *testing.T) {
		b := newBench(t, Policy{CloseOnLoss: true, Budget: time.Second})
		b.now = 2 * time.Second
		b.do((*Session).DialFailed)
		b.expectClosed(ClosedUnavailable)
	})
	t.Run("broken", func(t *testing.T) {
		b := connected(t, Policy{CloseOnLoss: true})
		b.client("REQ 1\n")
		b.do(upstreamBroken)
		b.expect("", "REQ 1\n")
		b.expectClosed(ClosedUpstreamLost)
		if b.counts.Unanswered[UnansweredUpstreamLost] != 1 {
			t.Errorf("got %+v", b.counts)
		}
	})
	t.Run("ended", func(t *testing.T) {
		b := connected(t, Policy{CloseOnLoss: true})
		b.upstream("half an ans")
		b.do(upstreamEnded)
		if !b.clientEnd || b.closed {
			t.Fatalf("orders: %+v", b.last)
		}
		b.client("REQ 1 still passed on\n")
		b.expect("half an ans", "REQ 1 still passed on\n")
		b.do((*Session).ClientEnded)
		b.expectClosed(ClosedByUpstream)
	})
}

func TestMalformedMessagesAreRejectedWhole(t *testing.T) {
	for _, chunk := range []int{1, 2, 3, 5, 100} {
		b := connected(t, Policy{RejectMalformed: true})
		in := "REQ 1 a\nREX\nREQ x\nREQ 2\n\nGET / HTTP/1.1\r\nREQ +3\r\n"
		for len(in) > 0 {
			part := in[:min(chunk, len(in))]
			in = in[len(part):]
			b.client(part)
		}
		e := "NAK 0 ERRDECODE\n"
		b.expect(e+e+e+e, "REQ 1 a\nREQ 2\nREQ +3\r\n")
		if b.counts.Refused[RefusedUndecodable] != 4 || b.counts.InFlight() != 3 {
			t.Errorf("chunks of %d: got %+v", chunk, b.counts)
		}
	}
}

func TestOwnAnswersDoNotBreakIntoAnAnswer(t *testing.T) {
	b := connected(t, Policy{RejectMalformed: true})
	b.client("REQ 1\n")
	b.upstream("ACK 1 a long")
	b.client("nonsense\n")
	b.expect("ACK 1 a long", "REQ 1\n")
	b.upstream(" answer\nACK 2\n")
	b.expect("ACK 1 a long answer\nNAK 0 ERRDECODE\nACK 2\n", "REQ 1\n")
}

func TestDrainAnswersWhatIsOutstandingFirst(t *testing.T) {
	b := connected(t, Policy{})
	b.client("REQ 1\nREQ 2 unfin")
	b.do((*Session).Drain)
	if b.closed || b.clientEnd || !b.session.WantsClient() {
		t.Fatal("did not wait for the rest of a request")
	}
	b.client("ished\nREQ 3 new\nREQ 4 ne")
	b.upstream("ACK 1\nACK 2")
	if b.clientEnd {
		t.Fatal("ended in the middle of an answer")
	}
	b.client("w\n")
	b.upstream("\n")
	if !b.clientEnd || !b.upEnd || !b.linger || b.closed {
		t.Fatalf("orders: %+v", b.last)
	}
	b.client("REQ 5 too late\n")
	b.do(upstreamEnded)
	b.do((*Session).ClientEnded)
	b.expect("NAK 3 sidecar draining\nACK 1\nACK 2\nNAK 4 sidecar draining\n", "REQ 1\nREQ 2 unfinished\n")
	b.expectClosed(ClosedDrained)
	if b.counts.Acked != 2 || b.counts.Refused[RefusedDraining] != 2 || b.counts.Unanswered[UnansweredDrained] != 1 {
		t.Errorf("got %+v", b.counts)
	}
}

func TestCutRefusesWhatIsStillOutstanding(t *testing.T) {
	b := connected(t, Policy{})
	b.client("REQ 1\n")
	b.do((*Session).Drain)
	b.do((*Session).Cut)
	b.expect("NAK 1 sidecar draining\n", "REQ 1\n")
	if !b.clientEnd || !b.linger || b.closed {
		t.Fatalf("orders: %+v", b.last)
	}
	b.do((*Session).Cut)
	b.expectClosed(ClosedCut)
}

func TestDrainRefusesWhatAClientHasSentWhileItWaited(t *testing.T) {
	b := newBench(t, Policy{Budget: time.Minute})
	b.toUpstream = append(b.toUpstream, "nobody")
	b.do((*Session).Drain)
	if b.closed || b.clientEnd || !b.linger || !b.session.WantsClient() {
		t.Fatalf("orders: %+v", b.last)
	}
	b.client("REQ 1\nREQ 2\n")
	b.expect("NAK 1 sidecar draining\nNAK 2 sidecar draining\n", "nobody")
	b.expectClosed(ClosedDrained)
}

func TestCutInTheMiddleOfAnAnswerClosesAtOnce(t *testing.T) {
	b := connected(t, Policy{})
	b.client("REQ 1\nREQ 2\n")
	b.upstream("ACK 1 unfin")
	b.do((*Session).Cut)
	b.expect("ACK 1 unfin", "REQ 1\nREQ 2\n")
	b.expectClosed(ClosedCut)
	if b.counts.Unanswered[UnansweredDrained] != 2 {
		t.Errorf("got %+v", b.counts)
	}
}

func TestIdleSessionEndsButNotOneThatWaitsForAnAnswer(t *testing.T) {
	const timeout = time.Minute
	var again time.Duration
	idle := func(s *Session, out *Batch) (o Orders) {
		o, again = s.Idle(timeout, out)
		return o
	}
	b := connected(t, Policy{})
	b.now = 40 * time.Second
	b.client("REQ 1\n")
	b.now = 110 * time.Second
	b.do(idle)
	if b.closed {
		t.Fatal("ended with a request outstanding")
	}
	b.upstream("ACK 1\n")
	b.now = 130 * time.Second
	b.do(idle)
	if b.closed || again != 40*time.Second {
		t.Fatalf("closed %t, looks again in %s, want in 40s", b.closed, again)
	}
	b.now += again
	b.do(idle)
	b.expectClosed(ClosedIdle)
	if b.do(idle); again != 0 {
		t.Errorf("looks again in %s after the end", again)
	}
}

func TestClientThatLeavesLeavesItsRequestsUnanswered(t *testing.T) {
	b := connected(t, Policy{})
	b.client("REQ 1\nREQ 2\nRE")
	b.do((*Session).ClientLost)
	b.expectClosed(ClosedClientLost)
	if b.counts.Unanswered[UnansweredClientLeft] != 2 || b.counts.Malformed[Client][protocol.FaultTruncated] != 1 {
		t.Errorf("got %+v", b.counts)
	}
}

func TestClientIsToldTheEndBeforeItsConnectionIsClosed(t *testing.T) {
	s := NewSession(foo.Protocol{}, &Policy{})
	var out Batch
	s.Start(&out)
	s.Connected(&out)
	s.ClientBytes([]byte("REQ 1\n"), &out)
	s.Drain(&out)
	if o := s.UpstreamBytes([]byte("ACK 1\n"), &out); !o.EndClient || o.Close {
		t.Fatalf("orders after the last answer: %+v", o)
	}
	// The answer is still being written when the client ends its side.
	if o := s.ClientEnded(&out); o.Close {
		t.Fatal("closed under the last answer")
	}
	if o := s.ClientTold(&out); !o.Close || out.Closed[ClosedDrained] != 1 {
		t.Fatalf("orders after everything was said: %+v, %+v", o, out.Closed)
	}
}

func TestClientThatOnlyMakesRefusalsIsNotRead(t *testing.T) {
	b := connected(t, Policy{RejectMalformed: true})
	b.upstream("ACK 1 unfin") // so that refusals have to wait
	for i := 0; b.session.WantsClient(); i++ {
		if i > 2*maxReply {
			t.Fatal("answers pile up without bound")
		}
		b.client("\n")
	}
	b.upstream("ished\n")
	if !b.session.WantsClient() {
		t.Error("the client is not read after its answers were taken")
	}
}
