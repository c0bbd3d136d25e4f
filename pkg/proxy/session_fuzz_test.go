package proxy

import (
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
)

// decodeAll counts the messages of a stream by kind, and the bytes of an
// unfinished one.
func decodeAll(stream string) (kinds [protocol.Malformed + 1]int64, rest int64) {
	d := new(foo.Decoder)
	for b := []byte(stream); len(b) > 0; {
		n, m := d.Next(b)
		b = b[n:]
		if m.Kind != 0 {
			kinds[m.Kind]++
		}
	}
	return kinds, d.Partial().Size
}

// FuzzSession lets anything happen to a session in any order, and holds what
// must be true all the same: every request is counted once and ends once, what
// the sidecar says itself never breaks into an answer, no connection begins in
// the middle of a message, and without a loss every byte passes unchanged.
func FuzzSession(f *testing.F) {
	f.Add([]byte("cREQ 1 x\n|c|uACK 1\n|e|E"), uint8(0), uint8(0))
	f.Add([]byte("c|cREQ 1 x\nREQ 2|l|c|c half\nREQ 3\n|uACK 3\n|d|D"), uint8(1), uint8(1))
	f.Add([]byte("f|f|f|cREQ 1\nbad\n|c|cREQ 2\n|uACK 2 unfin|cbad\n|uished\n|x"), uint8(3), uint8(9))
	f.Add([]byte("c|cREQ 1 traceparent="+sampledParent+" x\nREQ 2 trace|c\nREQ 3|l|c|c half\nREQ 3\n|uACK 3\n|d|D"), uint8(0), uint8(15))
	f.Fuzz(func(t *testing.T, script []byte, policy, watch uint8) {
		p := Policy{CloseOnLoss: policy&1 != 0, RejectMalformed: policy&2 != 0, Budget: time.Duration(policy>>2) * time.Second}
		if p.Propagation = (Propagation{Extract: watch&2 != 0, Inject: watch&4 != 0, Strip: watch&8 != 0}); watch > 1 {
			p.Carrier = carrier{}
		}
		b := newBench(t, p)
		if watch&1 != 0 {
			all := &Tap{Outcomes: [NumOutcomes]bool{true, true, true, true}}
			b.interest = &Interest{Failed: true, Slow: NeverSlow, Ratio: 0.5, Capture: 16, Tap: all}
		}
		upstreamSaid, up := "", false
		losses := 0 // and failures to connect
		for i := 0; i < len(script) && !b.closed; {
			op := script[i]
			i++
			start := i
			for i < len(script) && script[i] != '|' {
				i++
			}
			bytes := string(script[start:i])
			i++
			b.now += time.Duration(op) * 10 * time.Millisecond
			switch op {
			case 'c': // the client's bytes, or a connection for them
				if b.session.dialing() {
					b.connect()
					up = true
				}
				if bytes != "" && b.session.WantsClient() {
					b.client(bytes)
				}
			case 'u':
				if up && b.session.link == linkUp {
					upstreamSaid += bytes
					b.upstream(bytes)
				}
			case 'l', 'e':
				if up {
					event := upstreamBroken
					if op == 'e' {
						event = upstreamEnded
					}
					b.do(event)
					losses++
					up = b.session.link == linkEnded
				}
			case 'f':
				if !up {
					b.do((*Session).DialFailed)
					losses++
				}
			case 'n':
				if !up && b.session.link == linkDown {
					b.connect()
					up = true
				}
			case 'E':
				b.do((*Session).ClientEnded)
			case 'x':
				b.do((*Session).ClientLost)
			case 'd':
				b.do((*Session).Drain)
			case 'D':
				b.do((*Session).Cut)
			case 'i':
				b.do(func(s *Session, out *Batch) Orders { o, _ := s.Idle(time.Second, out); return o })
			case 'I':
				b.now += time.Minute
			}
		}
		checkStreams(t, b, p, upstreamSaid, losses)
	})
}

func checkStreams(t *testing.T, b *bench, p Policy, upstreamSaid string, losses int) {
	t.Helper()
	c := b.counts
	sent, _ := decodeAll(b.fromClient)
	if sent[protocol.Request] != c.ClientRequests() {
		t.Errorf("client sent %d requests, counted %d", sent[protocol.Request], c.ClientRequests())
	}
	if b.closed && c.InFlight() != 0 {
		t.Errorf("%d requests in flight after the end", c.InFlight())
	}
	if got, want := c.Answers(), c.Acked+c.Naked+c.Unmatched; got != want {
		t.Errorf("upstream sent %d answers, %d were paired or unmatched", got, want)
	}
	ended := c.ClientRequests() - c.InFlight() - c.Unanswered[UnansweredForgotten]
	if seen := int64(len(b.pairs)); b.interest != nil && seen+b.omitted != ended {
		t.Errorf("%d requests ended, %d were reported", ended, seen)
	}
	said, torn := decodeAll(upstreamSaid)
	got, rest := decodeAll(b.toClient)
	if torn == 0 || losses == 0 { // a torn answer may be followed by anything only at the end
		refused := c.RefusedTotal()
		if pending, _ := decodeAll(string(b.session.reply)); got[protocol.Negative]+pending[protocol.Negative] != said[protocol.Negative]+refused {
			t.Errorf("client got %d NAKs and %d are pending, upstream sent %d and the session %d: %q",
				got[protocol.Negative], pending[protocol.Negative], said[protocol.Negative], refused, b.toClient)
		}
		if got[protocol.Positive] != said[protocol.Positive] || rest != torn {
			t.Errorf("client got %q of %q", b.toClient, upstreamSaid)
		}
	}
	for _, stream := range b.toUpstream {
		kinds, _ := decodeAll(stream)
		if p.RejectMalformed && kinds[protocol.Malformed] > 0 {
			t.Errorf("malformed message passed on: %q", stream)
		}
	}
	if p.Carrier == nil && losses == 0 && !p.RejectMalformed && !b.session.draining && !b.clientEnd && len(b.toUpstream) == 1 && b.toUpstream[0] != b.fromClient {
		t.Errorf("client sent %q, upstream got %q", b.fromClient, b.toUpstream[0])
	}
	if p.Carrier != nil && losses == 0 && !b.session.draining && !b.clientEnd && len(b.toUpstream) == 1 {
		if got, _ := decodeAll(b.toUpstream[0]); got[protocol.Request] != sent[protocol.Request] || got[protocol.Positive] != sent[protocol.Positive] {
			t.Errorf("client sent %q, upstream got %q", b.fromClient, b.toUpstream[0])
		}
	}
}
