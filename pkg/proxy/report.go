package proxy

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// maxReported bounds the pairs and maxViolations the violations that one batch
// reports one by one.
const (
	maxReported   = 256
	maxViolations = 8
)

// rawBytes is how much of a message a violation shows.
const rawBytes = 256

// draw reports whether chance chooses the next of all pairs. It costs a
// decrement: how many are passed over until the next one is drawn when that one
// comes, from the geometric distribution, so that each pair is chosen with the
// same probability whatever came before it.
func (s *Session) draw() bool {
	s.gap--
	if s.gap >= 0 {
		return false
	}
	s.gap = s.interest.gap()
	return true
}

// gap draws how many pairs are passed over.
func (i *Interest) gap() int64 {
	switch {
	case i == nil || i.Ratio <= 0:
		return math.MaxInt64
	case i.Ratio >= 1:
		return 0
	}
	u := 1 - rand.Float64() // in (0, 1]
	return int64(min(math.Log(u)/math.Log1p(-i.Ratio), math.MaxInt32))
}

// look makes the interest of a batch the one that counts.
func (s *Session) look(out *Batch) {
	if s.interest != out.Interest {
		s.interest = out.Interest
		s.gap = s.interest.gap()
	}
}

// chosen says why a pair that has ended is to be reported, zero if it is not.
func (s *Session) chosen(outcome Outcome, took time.Duration, n *note) (why Why) {
	i := s.interest
	if i == nil {
		return 0
	}
	if i.Failed && outcome != OutcomeAck {
		why |= WhyFailed
	}
	if took >= i.Slow {
		why |= WhySlow
	}
	switch {
	case n == nil:
		if s.draw() && why == 0 {
			why = WhySampled
		}
	case n.parent.Sampled():
		why |= WhyParent
	case n.chosen && why == 0:
		why = WhySampled
	}
	if i.Tap != nil && i.Tap.Outcomes[outcome] && took >= i.Tap.Slower {
		why |= WhyTapped
	}
	return why
}

// gaveUp reports a request that ended without an answer of the upstream, if it
// is wanted.
func (s *Session) gaveUp(p Pair, r *sent, out *Batch) {
	if p.Why = s.chosen(p.Outcome, out.At-r.at, r.note); p.Why != 0 {
		s.report(p, r, out)
	}
}

// report completes a pair with what is known of its request, and puts it into
// the batch.
func (s *Session) report(p Pair, r *sent, out *Batch) {
	if len(out.Pairs) >= maxReported {
		if p.Why != WhyTapped {
			out.Omitted++
		}
		return
	}
	p.Start, p.End, p.RequestSize = r.at, out.At, r.size
	if r.at == s.waitAt {
		p.Wait, p.Retries = s.wait, s.retries
	}
	if r.note != nil {
		p.Request, p.Parent, p.Span = r.note.head, r.note.parent, r.note.span
	}
	out.Pairs = append(out.Pairs, p)
}

// sent returns what is to be remembered of a request that ends with part.
func (s *Session) sent(m protocol.Message, part []byte, out *Batch) sent {
	r := sent{at: max(out.At, 1), size: m.Size, note: s.carrying.note}
	if s.interest != nil && s.interest.Capture > 0 {
		if r.note == nil {
			// Whether chance chooses it has to be known now, because a note tells the
			// choice at the end.
			r.note = &note{chosen: s.draw()}
		}
		r.note.head = append([]byte(nil), s.head(Client, part, s.interest.Capture)...)
	}
	return r
}

// ended notes the end of a message of one side.
func (s *Session) ended(side Side, m protocol.Message, part []byte, out *Batch) {
	if m.Quirks != 0 {
		for q := range protocol.NumQuirks {
			if m.Quirks.Has(q) {
				out.Quirks[side][q]++
				s.violated(ViolationKind(protocol.NumFaults)+ViolationKind(q), side, m, part, out)
			}
		}
	}
	if len(s.heads[side]) > 0 {
		s.heads[side] = s.heads[side][:0]
	}
}

// outOfOrder counts a request whose ID is not above the one before.
func (s *Session) outOfOrder(duplicate bool, m protocol.Message, part []byte, out *Batch) {
	kind := ViolatedOrder
	if duplicate {
		kind = ViolatedDuplicate
		out.DuplicateSeqs++
	} else {
		out.NonAscending++
	}
	s.violated(kind, Client, m, part, out)
}

// violated reports a breach of the protocol by a message that ends with part.
func (s *Session) violated(kind ViolationKind, side Side, m protocol.Message, part []byte, out *Batch) {
	if s.interest == nil || len(out.Violations) >= maxViolations {
		return
	}
	out.Violations = append(out.Violations, Violation{
		Side: side, Kind: kind,
		Offset: s.offset[side] - m.Size, Size: m.Size,
		Raw: s.head(side, part, rawBytes),
	})
}

// keepHead keeps the start of a message that goes on in the next bytes.
func (s *Session) keepHead(side Side, part []byte) {
	if room := MaxCapture - len(s.heads[side]); s.interest != nil && room > 0 {
		s.heads[side] = append(s.heads[side], part[:min(len(part), room)]...)
	}
}

// head returns the first bytes of the message that ends with part.
func (s *Session) head(side Side, part []byte, limit int) []byte {
	limit = min(limit, MaxCapture)
	if len(s.heads[side]) == 0 {
		return part[:min(len(part), limit)]
	}
	s.keepHead(side, part)
	return s.heads[side][:min(len(s.heads[side]), limit)]
}
