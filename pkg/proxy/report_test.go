package proxy

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

func TestFailedAndSlowPairsAreReportedWithTheirSizesAndTimes(t *testing.T) {
	b := connected(t, Policy{})
	b.interest = &Interest{Failed: true, Slow: 50}
	b.now = 10
	b.client("REQ 1 quick\nREQ 2 refused\nREQ 3 slow\nREQ 4 left\n")
	b.now = 20
	b.upstream("ACK 1\nNAK 2 no\n")
	b.now = 60
	b.upstream("ACK 3 done\n")
	b.do((*Session).ClientLost)
	want := []Pair{
		{ID: 2, Outcome: OutcomeNak, Why: WhyFailed, Start: 10, End: 20, RequestSize: 14, AnswerSize: 9},
		{ID: 3, Outcome: OutcomeAck, Why: WhySlow, Start: 10, End: 60, RequestSize: 11, AnswerSize: 11},
		{ID: 4, Outcome: OutcomeUnanswered, Unanswered: UnansweredClientLeft, Why: WhyFailed | WhySlow, Start: 10, End: 60, RequestSize: 11},
	}
	if diff := cmp.Diff(want, b.pairs); diff != "" {
		t.Errorf("reported pairs (-want +got):\n%s", diff)
	}
}

func TestTheSidecarsOwnRefusalsAreReported(t *testing.T) {
	b := connected(t, Policy{})
	b.interest = &Interest{Failed: true, Slow: NeverSlow}
	b.now = 10
	b.client("REQ 1\nREQ 2 x")
	b.now = 30
	b.do(upstreamBroken)
	b.client("y\n")
	want := []Pair{
		{ID: 1, Outcome: OutcomeRefused, Refusal: RefusedLost, Why: WhyFailed, Start: 10, End: 30, RequestSize: 6},
		{ID: 2, Outcome: OutcomeRefused, Refusal: RefusedLost, Why: WhyFailed, Start: 30, End: 30, RequestSize: 9},
	}
	if diff := cmp.Diff(want, b.pairs); diff != "" {
		t.Errorf("reported pairs (-want +got):\n%s", diff)
	}
}

func TestChanceChoosesTheRightShare(t *testing.T) {
	const pairs = 200_000
	for _, ratio := range []float64{0, 0.001, 0.01, 0.5, 1} {
		b := connected(t, Policy{})
		seq := 0
		for seq < pairs {
			// The interest changes all the time, as it does where what is slow follows
			// the traffic; that must not change the share.
			b.interest = &Interest{Slow: NeverSlow, Ratio: ratio}
			var requests, answers strings.Builder
			for range 50 {
				seq++
				requests.WriteString("REQ " + strconv.Itoa(seq) + "\n")
				answers.WriteString("ACK " + strconv.Itoa(seq) + "\n")
			}
			b.client(requests.String())
			b.upstream(answers.String())
			b.toClient, b.fromClient, b.toUpstream[0], b.latency = "", "", "", nil
		}
		want := ratio * pairs
		limit := 5 * math.Sqrt(want*(1-ratio)) // five standard deviations
		if got := float64(len(b.pairs)); math.Abs(got-want) > limit {
			t.Errorf("ratio %v: %v of %d pairs were chosen, want %v", ratio, got, pairs, want)
		}
	}
}

func TestATapSeesWhatItAsksForAndNothingElseIsTaken(t *testing.T) {
	b := connected(t, Policy{})
	b.interest = &Interest{Slow: NeverSlow, Capture: 8, Tap: &Tap{Outcomes: [NumOutcomes]bool{OutcomeAck: true}, Slower: 5}}
	b.client("REQ 1 first\nREQ 2 seco")
	b.client("nd\nREQ 3 third\n")
	b.now = 3
	b.upstream("ACK 1 quick\nNAK 3 no\nAC")
	b.now = 9
	b.upstream("K 2 slow\n")
	want := []Pair{{
		ID: 2, Why: WhyTapped, Start: 1, End: 9, RequestSize: 13, AnswerSize: 11,
		Request: []byte("REQ 2 se"), Answer: []byte("ACK 2 sl"),
	}}
	if diff := cmp.Diff(want, b.pairs); diff != "" {
		t.Errorf("reported pairs (-want +got):\n%s", diff)
	}
}

func TestTheWaitForAnUpstreamConnectionIsReported(t *testing.T) {
	b := newBench(t, Policy{Budget: time.Hour, Backoff: Backoff{Initial: 1, Max: 1}})
	b.interest = &Interest{Slow: 0}
	b.now = 10
	b.do((*Session).DialFailed)
	b.now = 30
	b.connect()
	b.now = 31
	b.client("REQ 1\nREQ 2\n")
	b.now = 32
	b.client("REQ 3\n")
	b.upstream("ACK 1\nACK 2\nACK 3\n")
	var waits []time.Duration
	var retries []int
	for _, p := range b.pairs {
		waits, retries = append(waits, p.Wait), append(retries, p.Retries)
	}
	if diff := cmp.Diff([]time.Duration{30, 30, 0}, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{1, 1, 0}, retries); diff != "" {
		t.Errorf("retries (-want +got):\n%s", diff)
	}
}

func TestABatchReportsABoundedNumberAndTellsHowManyMore(t *testing.T) {
	b := connected(t, Policy{})
	b.interest = &Interest{Failed: true, Slow: NeverSlow}
	const requests = 5 * maxReported
	for i := range requests {
		b.client("REQ " + strconv.Itoa(i+1) + "\n")
	}
	omitted := int64(0)
	b.do(func(s *Session, out *Batch) Orders {
		o := s.ClientLost(out)
		omitted = out.Omitted
		return o
	})
	if len(b.pairs) != maxReported || omitted != requests-maxReported {
		t.Errorf("%d pairs reported and %d omitted of %d", len(b.pairs), omitted, requests)
	}
}

func TestViolationsAreCountedAndShownWithTheirBytes(t *testing.T) {
	b := connected(t, Policy{})
	b.interest = &Interest{Failed: true, Slow: NeverSlow}
	b.client("REQ 5\nREQ 5 again\nREQ 4\ngar")
	b.client("bage\nREQ 9 \xff\r\nNAK 1\n")
	b.upstream("ACK 77\nREQ 1 hello\nFOO\n")
	type seen struct {
		Side   Side
		Kind   string
		Offset int64
		Size   int64
		Raw    string
	}
	var got []seen
	for _, v := range b.violations {
		got = append(got, seen{v.Side, v.Kind.String(), v.Offset, v.Size, string(v.Raw)})
	}
	want := []seen{
		{Client, "duplicate_seq", 6, 12, "REQ 5 again\n"},
		{Client, "non_ascending", 18, 6, "REQ 4\n"},
		{Client, "type", 24, 8, "garbage\n"},
		{Client, "non_utf8", 32, 9, "REQ 9 \xff\r\n"},
		{Client, "crlf", 32, 9, "REQ 9 \xff\r\n"},
		{Client, "wrong_side", 41, 6, "NAK 1\n"},
		{Upstream, "unmatched", 0, 7, "ACK 77\n"},
		{Upstream, "wrong_side", 7, 12, "REQ 1 hello\n"},
		{Upstream, "type", 19, 4, "FOO\n"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	c := b.counts
	if c.DuplicateSeqs != 1 || c.NonAscending != 1 ||
		c.Quirks[Client] != [protocol.NumQuirks]int64{1, 1} || c.Quirks[Upstream] != [protocol.NumQuirks]int64{} {
		t.Errorf("got %+v", c)
	}
}

func TestUnreportedPairsDoNotAllocate(t *testing.T) {
	b := connected(t, Policy{})
	interest := &Interest{Failed: true, Slow: NeverSlow, Ratio: 1e-12}
	requests, answers := []byte("REQ 1 hello\nREQ 2 hello\n"), []byte("ACK 2\nACK 1\n")
	out := Batch{Latencies: make([]time.Duration, 0, 4)}
	got := testing.AllocsPerRun(1000, func() {
		out = Batch{Interest: interest, Latencies: out.Latencies[:0]}
		b.session.last = 0 // as if the numbers went on
		b.session.ClientBytes(requests, &out)
		b.session.UpstreamBytes(answers, &out)
	})
	if got != 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}
