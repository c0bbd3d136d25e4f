package proxy

import "github.com/foo-protocol/foo-sidecar/pkg/protocol"

// ClientBytes tells that the client sent b. The session may overwrite b.
func (s *Session) ClientBytes(b []byte, out *Batch) (o Orders) {
	if s.link == linkClosed {
		return Orders{}
	}
	s.active = out.At
	s.look(out)
	if s.wait > 0 && s.waitAt == 0 {
		s.waitAt = max(out.At, 1)
	}
	out.Bytes[Client] += int64(len(b))
	if s.passing() && !s.swallow && !s.draining && !s.policy.RejectMalformed && s.policy.Carrier == nil {
		o.Pass[0] = b
		for len(b) > 0 {
			n, m := s.client.Next(b)
			s.requested(m, b[:n], out)
			b = b[n:]
		}
	} else {
		o.Pass[0], o.Pass[1] = s.filter(b, out)
	}
	o.Flush = len(s.reply) > 0
	if s.draining {
		return s.drained(o, out)
	}
	return o
}

// passing reports whether there is an upstream connection to write to.
func (s *Session) passing() bool { return s.link == linkUp || s.link == linkEnded }

// filter takes out of b the messages that are not to reach the upstream, and
// answers them; the others it gives their trace context. It returns what is to
// be passed on: the start of a message that was held back, and the rest, which
// it moves together in place, unless trace contexts make it longer.
func (s *Session) filter(b []byte, out *Batch) (held, kept []byte) {
	kept = b[:0]
	if s.policy.Carrier != nil {
		kept = s.carrying.buffer[:0]
	}
	for len(b) > 0 {
		if !s.swallow && (!s.passing() || s.draining && s.client.Phase() == protocol.Between) {
			s.swallow, s.swallowWhy = true, RefusedUnavailable
			if s.draining {
				s.swallowWhy = RefusedDraining
			}
		}
		n, m := s.client.Next(b)
		part := b[:n]
		b = b[n:]
		phase := s.client.Phase()
		switch {
		case s.swallow:
			s.swallow = m.Kind == 0
			s.held = nil
			s.refuse(m, part, out)
		case s.policy.RejectMalformed && (m.Kind == protocol.Malformed || phase == protocol.Bad):
			s.swallow = m.Kind == 0
			s.held = nil
			s.refuse(m, part, out)
		case s.policy.RejectMalformed && phase == protocol.Header, s.carryLater(m, phase, len(part)):
			s.held = append(s.held, part...)
			s.requested(m, part, out)
		case s.policy.Carrier != nil:
			kept = s.carry(kept, m, part)
			s.requested(m, part, out)
		default:
			if len(s.held) > 0 {
				held, s.held = s.held, nil
			}
			kept = append(kept, part...)
			s.requested(m, part, out)
		}
		if m.Kind != 0 {
			s.carrying.done, s.carrying.note = false, nil
		}
	}
	if s.policy.Carrier != nil {
		s.carrying.buffer = kept
	}
	return held, kept
}

// refuse counts a message that is not passed on, and answers it if somebody
// waits for that.
func (s *Session) refuse(m protocol.Message, part []byte, out *Batch) {
	told := s.link == linkClosing || s.link == linkEnded // there is no answering any more
	switch m.Kind {
	case protocol.Request:
		out.Requests++
		s.offset[Client] += int64(len(part))
		if m.ID <= s.last {
			s.outOfOrder(false, m, part, out)
		}
		s.last = m.ID
		r := s.sent(m, part, out)
		s.ended(Client, m, part, out)
		if told {
			out.Unanswered[s.why]++
			s.gaveUp(Pair{ID: m.ID, Outcome: OutcomeUnanswered, Unanswered: s.why}, &r, out)
			return
		}
		out.Refused[s.swallowWhy]++
		s.gaveUp(Pair{ID: m.ID, Outcome: OutcomeRefused, Refusal: s.swallowWhy}, &r, out)
		text := Unavailable
		if s.swallowWhy == RefusedDraining {
			text = Draining
		}
		s.reply = s.protocol.AppendRefusal(s.reply, m.ID, text)
	case protocol.Malformed:
		s.requested(m, part, out)
		if s.policy.RejectMalformed && !told {
			out.Refused[RefusedUndecodable]++
			s.reply = s.protocol.AppendUndecodable(s.reply)
		}
	default:
		s.requested(m, part, out)
	}
}

// requested counts a message that the client sent and that ends with part, and
// remembers a request until its answer comes.
func (s *Session) requested(m protocol.Message, part []byte, out *Batch) {
	s.offset[Client] += int64(len(part))
	switch m.Kind {
	case 0:
		s.keepHead(Client, part)
		return
	case protocol.Request:
		out.Requests++
		duplicate, forgotten := s.pairs.add(m.ID, s.sent(m, part, out))
		out.Unanswered[UnansweredForgotten] += int64(forgotten)
		if duplicate || m.ID <= s.last {
			s.outOfOrder(duplicate, m, part, out)
		}
		s.last = m.ID
	case protocol.Positive:
		out.Positives++
		out.ClientAnswers++
		s.violated(ViolatedSide, Client, m, part, out)
	case protocol.Negative:
		out.Negatives++
		out.ClientAnswers++
		s.violated(ViolatedSide, Client, m, part, out)
	case protocol.Malformed:
		out.Malformed[Client][m.Fault]++
		s.violated(ViolationKind(m.Fault), Client, m, part, out)
	}
	s.ended(Client, m, part, out)
}

// UpstreamBytes tells that the upstream sent b. The caller must have the
// client's turn.
func (s *Session) UpstreamBytes(b []byte, out *Batch) (o Orders) {
	if s.link != linkUp {
		return Orders{}
	}
	s.active = out.At
	s.look(out)
	s.proven = true
	out.Bytes[Upstream] += int64(len(b))

	boundary := -1 // the first place in b where a message of our own fits
	if s.upstream.Phase() == protocol.Between {
		boundary = 0
	}
	for rest := b; len(rest) > 0; {
		n, m := s.upstream.Next(rest)
		s.answered(m, rest[:n], out)
		rest = rest[n:]
		if m.Kind != 0 && boundary < 0 {
			boundary = len(b) - len(rest)
		}
	}
	s.pairs.release()
	if len(s.reply) > 0 && boundary >= 0 {
		o.Pass = [3][]byte{b[:boundary], s.takeReply(), b[boundary:]}
	} else {
		o.Pass[0] = b
	}
	if s.draining {
		return s.drained(o, out)
	}
	return o
}

// answered counts a message that the upstream sent and that ends with part, and
// pairs an answer with its request.
func (s *Session) answered(m protocol.Message, part []byte, out *Batch) {
	s.offset[Upstream] += int64(len(part))
	switch m.Kind {
	case 0:
		s.keepHead(Upstream, part)
		return
	case protocol.Positive:
		out.Positives++
		out.Acked += s.pair(OutcomeAck, m, part, out)
	case protocol.Negative:
		out.Negatives++
		out.Naked += s.pair(OutcomeNak, m, part, out)
	case protocol.Request:
		out.Requests++
		out.ServerRequests++
		s.violated(ViolatedSide, Upstream, m, part, out)
	case protocol.Malformed:
		out.Malformed[Upstream][m.Fault]++
		s.violated(ViolationKind(m.Fault), Upstream, m, part, out)
	}
	s.ended(Upstream, m, part, out)
}

// pair ends the request that an answer belongs to. It returns how many that
// are: one, or none.
func (s *Session) pair(outcome Outcome, m protocol.Message, part []byte, out *Batch) int64 {
	if !m.Stray {
		if r, ok := s.pairs.take(m.ID); ok {
			took := out.At - r.at
			out.Latencies = append(out.Latencies, took)
			if why := s.chosen(outcome, took, r.note); why != 0 {
				p := Pair{ID: m.ID, Outcome: outcome, Why: why, AnswerSize: m.Size}
				if c := s.interest.Capture; c > 0 {
					p.Answer = s.head(Upstream, part, c)
				}
				s.report(p, &r, out)
			}
			return 1
		}
	}
	out.Unmatched++
	s.violated(ViolatedUnmatched, Upstream, m, part, out)
	return 0
}
