package proxy

import "github.com/foo-protocol/foo-sidecar/pkg/protocol"

// ClientBytes tells that the client sent b. The session may overwrite b.
func (s *Session) ClientBytes(b []byte, out *Batch) (o Orders) {
	if s.link == linkClosed {
		return Orders{}
	}
	s.active = out.At
	out.Bytes[Client] += int64(len(b))
	if s.passing() && !s.swallow && !s.draining && !s.policy.RejectMalformed {
		o.Pass[0] = b
		for len(b) > 0 {
			n, m := s.client.Next(b)
			b = b[n:]
			s.requested(m, out)
		}
	} else {
		o.Pass[0], o.Pass[1] = s.filter(b, out)
	}
	o.Flush = len(s.reply) > 0
	return s.drained(o, out)
}

// passing reports whether there is an upstream connection to write to.
func (s *Session) passing() bool { return s.link == linkUp || s.link == linkEnded }

// filter takes out of b the messages that are not to reach the upstream, and
// answers them. It returns what is to be passed on: the start of a message that
// was held back, and the rest, which it moves together in place.
func (s *Session) filter(b []byte, out *Batch) (held, kept []byte) {
	kept = b[:0]
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
			s.refuse(m, out)
		case s.policy.RejectMalformed && (m.Kind == protocol.Malformed || phase == protocol.Bad):
			s.swallow = m.Kind == 0
			s.held = nil
			s.refuse(m, out)
		case s.policy.RejectMalformed && phase == protocol.Header:
			s.held = append(s.held, part...)
		default:
			if len(s.held) > 0 {
				held, s.held = s.held, nil
			}
			kept = append(kept, part...)
			s.requested(m, out)
		}
	}
	return held, kept
}

// refuse counts a message that is not passed on, and answers it if somebody
// waits for that.
func (s *Session) refuse(m protocol.Message, out *Batch) {
	told := s.link == linkClosing || s.link == linkEnded // there is no answering any more
	switch m.Kind {
	case protocol.Request:
		out.Requests++
		if told {
			out.Unanswered[s.why]++
			return
		}
		out.Refused[s.swallowWhy]++
		text := Unavailable
		if s.swallowWhy == RefusedDraining {
			text = Draining
		}
		s.reply = s.protocol.AppendRefusal(s.reply, m.ID, text)
	case protocol.Malformed:
		out.Malformed[Client][m.Fault]++
		if s.policy.RejectMalformed && !told {
			out.Refused[RefusedUndecodable]++
			s.reply = s.protocol.AppendUndecodable(s.reply)
		}
	default:
		s.requested(m, out)
	}
}

// requested counts a message that the client sent, and remembers a request
// until its answer comes.
func (s *Session) requested(m protocol.Message, out *Batch) {
	switch m.Kind {
	case protocol.Request:
		out.Requests++
		out.Unanswered[UnansweredForgotten] += int64(s.pairs.add(m.ID, out.At))
	case protocol.Positive:
		out.Positives++
		out.ClientAnswers++
	case protocol.Negative:
		out.Negatives++
		out.ClientAnswers++
	case protocol.Malformed:
		out.Malformed[Client][m.Fault]++
	}
}

// UpstreamBytes tells that the upstream sent b. The caller must have the
// client's turn.
func (s *Session) UpstreamBytes(b []byte, out *Batch) (o Orders) {
	if s.link != linkUp {
		return Orders{}
	}
	s.active = out.At
	s.proven = true
	out.Bytes[Upstream] += int64(len(b))

	boundary := -1 // the first place in b where a message of our own fits
	if s.upstream.Phase() == protocol.Between {
		boundary = 0
	}
	for rest := b; len(rest) > 0; {
		n, m := s.upstream.Next(rest)
		rest = rest[n:]
		if m.Kind != 0 && boundary < 0 {
			boundary = len(b) - len(rest)
		}
		s.answered(m, out)
	}
	s.pairs.release()
	if len(s.reply) > 0 && boundary >= 0 {
		o.Pass = [3][]byte{b[:boundary], s.takeReply(), b[boundary:]}
	} else {
		o.Pass[0] = b
	}
	return s.drained(o, out)
}

// answered counts a message that the upstream sent, and pairs an answer with
// its request.
func (s *Session) answered(m protocol.Message, out *Batch) {
	pairs := &out.Acked
	switch m.Kind {
	case protocol.Positive:
		out.Positives++
	case protocol.Negative:
		out.Negatives++
		pairs = &out.Naked
	case protocol.Request:
		out.Requests++
		out.ServerRequests++
		return
	case protocol.Malformed:
		out.Malformed[Upstream][m.Fault]++
		return
	default:
		return
	}
	if !m.Stray {
		if at, ok := s.pairs.take(m.ID); ok {
			*pairs++
			out.Latencies = append(out.Latencies, out.At-at)
			return
		}
	}
	out.Unmatched++
}
