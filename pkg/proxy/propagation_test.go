package proxy

import (
	"strings"
	"testing"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
)

// carrier is the convention of the Foo protocol.
type carrier struct{}

func (carrier) Find(head []byte) Carried { return Carried(foo.FindContext(head, nil)) }

func (carrier) Insert(dst, head []byte, c protocol.TraceContext) []byte {
	return foo.InsertContext(dst, head, c)
}

const (
	sampledParent   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	unsampledParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

// propagating returns a connected bench with every pair reported that chance or
// its parent chooses.
func propagating(t *testing.T, p Propagation, ratio float64) *bench {
	t.Helper()
	b := connected(t, Policy{Carrier: carrier{}, Propagation: p})
	b.interest = &Interest{Slow: NeverSlow, Ratio: ratio}
	return b
}

func TestTraceContextsAreLeftAloneUnlessAskedFor(t *testing.T) {
	in := "REQ 1 traceparent=" + sampledParent + " x\nREQ 2\nACK 9\njunk\n"
	b := propagating(t, Propagation{Extract: true}, 1)
	b.client(in)
	b.expect("", in)
}

func TestAnExtractedContextIsTheParentAndDecides(t *testing.T) {
	for _, chunk := range []int{1, 7, 1000} {
		b := propagating(t, Propagation{Extract: true}, 0)
		in := "REQ 1 traceparent=" + sampledParent + "\nREQ 2 traceparent=" + unsampledParent + " x\nREQ 3 x\n"
		for rest := in; rest != ""; {
			n := min(chunk, len(rest))
			b.client(rest[:n])
			rest = rest[n:]
		}
		b.upstream("ACK 1\nACK 2\nACK 3\n")
		b.expect("ACK 1\nACK 2\nACK 3\n", in)
		if len(b.pairs) != 1 || b.pairs[0].ID != 1 || b.pairs[0].Why != WhyParent ||
			string(b.pairs[0].Parent.AppendTraceParent(nil)) != sampledParent {
			t.Errorf("in chunks of %d: got %+v", chunk, b.pairs)
		}
	}
	b := propagating(t, Propagation{Extract: true}, 1)
	b.client("REQ 2 traceparent=" + unsampledParent + " x\n")
	b.upstream("ACK 2\n")
	if len(b.pairs) != 0 {
		t.Errorf("chance chose a pair of a trace that is not sampled: %+v", b.pairs)
	}
}

func TestStripTakesTheContextOutAndNothingElse(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for in, want := range map[string]string{
		"REQ 1 traceparent=" + sampledParent + " hello\n":         "REQ 1 hello\n",
		"REQ 1 traceparent=" + sampledParent + "\n":               "REQ 1 \n",
		"REQ\t1\ttraceparent=" + sampledParent + "\r\n":           "REQ\t1\t\r\n",
		"REQ 1 traceparent=" + sampledParent + " " + long + "\n":  "REQ 1 " + long + "\n",
		"REQ 1 traceparent=" + sampledParent + "x hello\n":        "REQ 1 traceparent=" + sampledParent + "x hello\n",
		"REQ 1 hello traceparent=" + sampledParent + "\n":         "REQ 1 hello traceparent=" + sampledParent + "\n",
		"REQ 1 " + long + "\nREQ 2\n":                             "REQ 1 " + long + "\nREQ 2\n",
		"NAK 1 traceparent=" + sampledParent + "\n":               "NAK 1 traceparent=" + sampledParent + "\n",
		"REQ x traceparent=" + sampledParent + "\n" + long + "\n": "REQ x traceparent=" + sampledParent + "\n" + long + "\n",
	} {
		for _, chunk := range []int{1, 5, 511, 513, 10_000} {
			b := propagating(t, Propagation{Strip: true}, 0)
			for rest := in; rest != ""; {
				n := min(chunk, len(rest))
				b.client(rest[:n])
				rest = rest[n:]
			}
			if got := b.toUpstream[0]; got != want {
				t.Errorf("%.60q in chunks of %d: got %.90q, want %.90q", in, chunk, got, want)
			}
			if got := b.counts.Bytes[Client]; got != int64(len(in)) {
				t.Errorf("%.60q: counted %d bytes of %d", in, got, len(in))
			}
		}
	}
}

func TestInjectGivesTracedRequestsTheContextOfTheirSpan(t *testing.T) {
	b := propagating(t, Propagation{Extract: true, Inject: true}, 1)
	b.client("REQ 1 hello\nREQ 2\nREQ 3 traceparent=" + sampledParent + " x\nREQ 4 traceparent=" + unsampledParent + " x\nACK 5\n")
	b.upstream("ACK 1\nACK 2\nACK 3\nACK 4\n")
	if len(b.pairs) != 3 {
		t.Fatalf("got %+v, want pairs 1, 2 and 3", b.pairs)
	}
	span := func(i int) string { return string(b.pairs[i].Span.AppendTraceParent(nil)) }
	want := "REQ 1 traceparent=" + span(0) + " hello\nREQ 2 traceparent=" + span(1) +
		"\nREQ 3 traceparent=" + span(2) + " x\nREQ 4 traceparent=" + unsampledParent + " x\nACK 5\n"
	b.expect("ACK 1\nACK 2\nACK 3\nACK 4\n", want)
	if got := b.pairs[2]; got.Span.TraceID != got.Parent.TraceID || got.Span.SpanID == got.Parent.SpanID || !got.Span.Sampled() {
		t.Errorf("request 3 left its trace: %+v", got)
	}
	if b.pairs[0].Span.TraceID == b.pairs[1].Span.TraceID || b.pairs[0].Parent.Valid() {
		t.Errorf("requests without a parent share a trace: %+v", b.pairs[:2])
	}

	none := propagating(t, Propagation{Inject: true}, 0)
	none.client("REQ 1 hello\n")
	none.expect("", "REQ 1 hello\n")
}

func TestAHeldRequestOutlivesTheLossOfItsUpstream(t *testing.T) {
	b := propagating(t, Propagation{Strip: true}, 0)
	b.client("REQ 1 tracep")
	b.do(upstreamBroken)
	b.connect()
	b.client("arent=" + sampledParent + " x\nREQ 2\n")
	b.expect("", "", "REQ 1 x\nREQ 2\n")
}

func TestPropagationAndRejectionGoTogether(t *testing.T) {
	b := connected(t, Policy{Carrier: carrier{}, Propagation: Propagation{Strip: true}, RejectMalformed: true})
	for _, c := range "REQ 1 traceparent=" + sampledParent + " x\njunk\nREQ 2 y\n" {
		b.client(string(c))
	}
	b.expect("NAK 0 ERRDECODE\n", "REQ 1 x\nREQ 2 y\n")
}
