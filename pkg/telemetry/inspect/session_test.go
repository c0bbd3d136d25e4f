package inspect

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

func TestBatchesArePassedOn(t *testing.T) {
	i := New(options())
	next := new(counter)
	o := i.Session("default", proxy.SessionInfo{ID: 1}, next)
	o.Observe(&proxy.Batch{Counts: proxy.Counts{Requests: 3}})
	o.Observe(batch(o, failure()))
	if next.calls != 2 || next.counts.Requests != 3 || next.counts.Naked != 1 {
		t.Errorf("next saw %d batches with %d requests and %d NAKs, want 2, 3 and 1", next.calls, next.counts.Requests, next.counts.Naked)
	}
}

func TestAnOrdinaryBatchCostsNoAllocation(t *testing.T) {
	i := New(options())
	i.Configure(traced(new(fakeTracer)))
	o := newSession(i)
	b := batch(o)
	b.Upstream = newConnection(0)
	b.Acked, b.Latencies = 64, make([]time.Duration, 64)
	if n := testing.AllocsPerRun(100, func() { o.Interest(); o.Observe(b) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// The sum of the adjusted counts of all spans of a class, and of what is owed to
// the next one, is the number of pairs of the class, whatever was left out on the
// way and for whatever reason.
func TestAdjustedCountsAddUpToThePairs(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { checkAdjustedCounts(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func checkAdjustedCounts(t *testing.T, random *rand.Rand) {
	t.Helper()
	tracer := new(fakeTracer)
	s := traced(tracer)
	s.PerSecond = 1 + random.IntN(200)
	s.Slow = 50 * time.Millisecond
	i := New(options())
	var want [numClasses]float64
	var chosen, handled int64
	o := newSession(i)
	at := 10 * time.Second
	for range 400 {
		if random.IntN(20) == 0 {
			s.Ratio = []float64{1, 0.5, 0.25, 0.125}[random.IntN(4)]
		}
		i.Configure(s)
		at += time.Duration(random.IntN(50)) * time.Millisecond
		b := batch(o)
		b.At = at
		for k := range random.IntN(30) {
			p, class := randomPair(random, s.Ratio > 0)
			count(b, p.Outcome)
			if p.Outcome <= proxy.OutcomeNak {
				b.Latencies = append(b.Latencies, p.End-p.Start)
			}
			chosen++
			if class == classSampled {
				want[class] += 1 / s.Ratio
			} else {
				want[class]++
			}
			// Some find no room in the batch, but for those of a class that a batch
			// doesn't tell from another.
			if k > 20 && class != classParent {
				b.Omitted++
				continue
			}
			b.Pairs = append(b.Pairs, p)
		}
		o.Observe(b)
		tracer.full = random.IntN(5) == 0
		if random.IntN(3) == 0 { // else the queue grows full
			handled += int64(len(i.queue))
			i.handleQueued()
		}
	}
	handled += int64(len(i.queue))
	i.handleQueued()

	got := i.owed
	for _, s := range tracer.spans {
		c, _ := classOf(&s.pair)
		got[c] += s.record.AdjustedCount
	}
	if got != want {
		t.Errorf("adjusted counts and debts of the classes are %v, want %v", got, want)
	}
	stats := i.Stats()
	if stats.Sampled != chosen || stats.Sampled != handled+stats.Dropped.Limit+stats.Dropped.Queue {
		t.Errorf("of %d pairs chosen, %d handled: got %+v", chosen, handled, stats)
	}
}

// randomPair returns a pair that is chosen for one reason.
func randomPair(random *rand.Rand, ordinary bool) (proxy.Pair, class) {
	n := random.IntN(4)
	if n == 3 && !ordinary {
		n = 0
	}
	switch n {
	case 0:
		return pair(proxy.OutcomeNak+proxy.Outcome(random.IntN(3)), proxy.WhyFailed), classFailed
	case 1:
		p := pair(proxy.OutcomeAck, proxy.WhySlow)
		p.Start -= time.Second
		return p, classSlow
	case 2:
		p := pair(proxy.OutcomeAck, proxy.WhyParent)
		p.Parent = protocol.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{1}, Flags: protocol.FlagSampled}
		return p, classParent
	}
	return pair(proxy.OutcomeAck, proxy.WhySampled), classSampled
}

func TestAFullQueueIsCountedAndOwed(t *testing.T) {
	tracer := new(fakeTracer)
	i := New(options())
	i.Configure(traced(tracer))
	o := newSession(i)
	for range queueSize + 100 {
		o.Observe(batch(o, failure()))
	}
	if got := i.Stats(); got.Sampled != queueSize+100 || got.Dropped.Queue != 100 || got.Dropped.Limit != 0 {
		t.Errorf("got %+v, want %d sampled and 100 dropped for the queue", got, queueSize+100)
	}
	i.handleQueued()
	o.Observe(batch(o, failure()))
	i.handleQueued()
	if got := tracer.spans[len(tracer.spans)-1].record.AdjustedCount; got != 101 {
		t.Errorf("the next span stands for %v pairs, want 101", got)
	}
}

func TestRefusedPairsFindRoomInAFloodOfOthers(t *testing.T) {
	tracer := new(fakeTracer)
	i := New(options())
	s := traced(tracer)
	s.PerSecond, s.Ratio = 100, 1
	i.Configure(s)
	o := newSession(i)
	flood := func(n int, p proxy.Pair) {
		for range n {
			o.Observe(batch(o, p))
		}
	}
	flood(1000, pair(proxy.OutcomeAck, proxy.WhySampled))
	flood(1000, pair(proxy.OutcomeAck, proxy.WhySlow))
	flood(1000, failure())
	i.handleQueued()
	var got [numClasses]int
	for _, s := range tracer.spans {
		c, _ := classOf(&s.pair)
		got[c]++
	}
	if want := [numClasses]int{classSampled: 50, classSlow: 25, classFailed: 25}; got != want {
		t.Errorf("got %v of the classes, want %v", got, want)
	}
}

func TestOnePerSecondIsEnoughForAnyClass(t *testing.T) {
	tracer := new(fakeTracer)
	i := New(options())
	s := traced(tracer)
	s.PerSecond, s.Ratio = 1, 1
	i.Configure(s)
	o := newSession(i)
	o.Observe(batch(o, pair(proxy.OutcomeAck, proxy.WhySampled)))
	o.Observe(batch(o, failure()))
	later := batch(o, failure())
	later.At += time.Second
	o.Observe(later)
	i.handleQueued()
	if len(tracer.spans) != 2 || tracer.spans[1].record.AdjustedCount != 2 {
		t.Errorf("got %d spans, want one and, a second later, one more that stands for two", len(tracer.spans))
	}
}

func TestARequestOfATraceThatIsNotRecordedIsNotChosenByChance(t *testing.T) {
	tracer := new(fakeTracer)
	i := New(options())
	s := traced(tracer)
	s.Ratio = 1
	i.Configure(s)
	o := newSession(i)
	ordinary, refused := pair(proxy.OutcomeAck, proxy.WhySampled), failure()
	ordinary.Parent = protocol.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{1}}
	refused.Parent = ordinary.Parent
	o.Observe(batch(o, ordinary, refused))
	i.handleQueued()
	if len(tracer.spans) != 1 || tracer.spans[0].record.Outcome != "nak" {
		t.Errorf("got %d spans, want only that of the refused pair", len(tracer.spans))
	}
	if got := i.Stats().Sampled; got != 1 {
		t.Errorf("%d pairs were chosen, want 1", got)
	}
}

func TestWithoutTracerAndAccessLogOnlyTheFlightRecorderIsServed(t *testing.T) {
	i := New(options())
	s := traced(nil)
	s.Tracer, s.Ratio, s.Slow = nil, 1, time.Second
	i.Configure(s)
	o := newSession(i)
	if got := o.Interest(); got.Ratio != 0 || !got.Failed || got.Slow != time.Second {
		t.Errorf("got interest %+v, want failed and slow pairs only", got)
	}
	// What was on its way when the tracer went is not looked at.
	o.Observe(batch(o, pair(proxy.OutcomeAck, proxy.WhySampled), pair(proxy.OutcomeAck, proxy.WhyParent),
		failure(), pair(proxy.OutcomeAck, proxy.WhySlow)))
	i.handleQueued()
	if r := i.Recent(); len(r.Failed) != 1 || len(r.Slow) != 1 {
		t.Errorf("the flight recorder has %d failed and %d slow pairs, want one each", len(r.Failed), len(r.Slow))
	}
	if got := i.Stats(); got.Sampled != 0 || i.owed[classSampled] != 0 {
		t.Errorf("got %+v, want no numbers of spans where there are none", got)
	}
}

func TestPairsThatNobodyIsGivenTakeNoRoom(t *testing.T) {
	i := New(options())
	i.Configure(Settings{Slow: proxy.NeverSlow, PerSecond: 1})
	o := newSession(i)
	o.Observe(batch(o, pair(proxy.OutcomeAck, proxy.WhyParent), failure()))
	i.handleQueued()
	if got := len(i.Recent().Failed); got != 1 {
		t.Errorf("the flight recorder has %d pairs, want 1", got)
	}
}

func TestANewTracerIsNotOwedWhatTheOldOneMissed(t *testing.T) {
	first, second := new(fakeTracer), new(fakeTracer)
	i := New(options())
	s := traced(first)
	s.PerSecond = 1
	i.Configure(s)
	o := newSession(i)
	o.Observe(batch(o, failure(), failure()))
	i.handleQueued()
	s.Tracer = second
	i.Configure(s)
	later := batch(o, failure())
	later.At += time.Second
	o.Observe(later)
	i.handleQueued()
	if got := second.spans[0].record.AdjustedCount; got != 1 {
		t.Errorf("the first span of the new tracer stands for %v pairs, want 1", got)
	}
}

func TestInterestFollowsTheRollingP99(t *testing.T) {
	p99 := time.Duration(0)
	o := options()
	o.P99 = func() time.Duration { return p99 }
	i := New(o)
	i.Configure(Settings{PerSecond: 1})
	observer := newSession(i)
	for _, step := range []struct{ p99, low, high time.Duration }{
		{0, proxy.NeverSlow, proxy.NeverSlow},
		{64 * time.Millisecond, 65 * time.Millisecond, 65*time.Millisecond + 1},
		{100 * time.Microsecond, time.Millisecond, time.Millisecond},
		{0, proxy.NeverSlow, proxy.NeverSlow},
	} {
		p99 = step.p99
		i.tick()
		if got := observer.Interest().Slow; got < step.low || got > step.high {
			t.Errorf("with a p99 of %s slow is %s, want %s to %s", p99, got, step.low, step.high)
		}
	}
	before := observer.Interest()
	i.tick()
	if observer.Interest() != before {
		t.Error("sessions were told of a new interest though nothing had changed")
	}
}

func TestMessagesAreCapturedOnlyWhilePayloadsAreShown(t *testing.T) {
	i := New(options())
	o := newSession(i)
	if got := o.Interest().Capture; got != 0 {
		t.Errorf("%d bytes are captured, want none", got)
	}
	i.Configure(Settings{ShowPayload: true})
	if got := o.Interest().Capture; got != proxy.MaxCapture {
		t.Errorf("%d bytes are captured while payloads are shown, want %d", got, proxy.MaxCapture)
	}
	i.Configure(Settings{})
	if got := o.Interest().Capture; got != 0 {
		t.Errorf("%d bytes are captured after the change back, want none", got)
	}
}

func TestViolationsOfOneKindDoNotHideThoseOfAnother(t *testing.T) {
	i := New(options())
	o := newSession(i)
	flood := &proxy.Batch{At: 10 * time.Second, Interest: o.Interest()}
	for range 8 {
		flood.Violations = append(flood.Violations, proxy.Violation{Kind: proxy.ViolatedCRLF, Side: proxy.Client, Raw: []byte("REQ 1 x\r\n")})
	}
	for range 1000 {
		o.Observe(flood)
	}
	rare := &proxy.Batch{At: 10 * time.Second, Violations: []proxy.Violation{{
		Kind: proxy.ViolatedUnmatched, Side: proxy.Upstream, Offset: math.MaxInt64, Size: math.MaxInt64, Raw: []byte("ACK 9\n"),
	}}}
	o.Observe(rare)
	i.handleQueued()
	r := i.Recent()
	if len(r.Violations) != keptViolations+1 || r.ViolationsLeftOut != 8000-violationBurst {
		t.Errorf("got %d violations and %d left out, want %d and %d", len(r.Violations), r.ViolationsLeftOut, keptViolations+1, 8000-violationBurst)
	}
	if !slices.ContainsFunc(r.Violations, func(v ViolationRecord) bool {
		return v.Kind == "unmatched" && v.Side == "upstream" && v.Offset == math.MaxInt64 && v.Client == "10.0.0.7:41000" && v.Session == 1
	}) {
		t.Errorf("the rare one is not among %+v", r.Violations)
	}
}
