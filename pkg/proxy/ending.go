package proxy

import "github.com/foo-protocol/foo-sidecar/pkg/protocol"

// drained turns o into the end of the session if it drains and nothing is
// outstanding any more.
func (s *Session) drained(o Orders, out *Batch) Orders {
	if !s.draining || s.pairs.len() > 0 || s.link >= linkClosing {
		return o
	}
	sending := s.client.Phase() != protocol.Between && !s.swallow && !s.clientDone
	if s.link == linkUp && (sending || s.upstream.Phase() != protocol.Between) {
		return o
	}
	end := s.finish(ClosedDrained, UnansweredDrained, out)
	end.Pass = o.Pass
	return end
}

// finish ends both directions, the client's after all that is for it. What is
// outstanding, and what the client still sends, stays unanswered.
func (s *Session) finish(reason CloseReason, why Unanswered, out *Batch) Orders {
	up := s.link == linkUp
	s.setLink(linkClosing, out)
	s.ending, s.why = reason, why
	s.abandon(out)
	return Orders{Flush: len(s.reply) > 0, EndClient: true, EndUpstream: up, DropUpstream: !up}
}

// close ends the session.
func (s *Session) close(reason CloseReason, why Unanswered, out *Batch) Orders {
	switch s.link {
	case linkClosed:
		return Orders{}
	case linkClosing:
		reason = s.ending
	default:
		s.why = why
	}
	s.setLink(linkClosed, out)
	s.abandon(out)
	if !s.clientDone && s.client.Phase() != protocol.Between {
		out.Malformed[Client][protocol.FaultTruncated]++
	}
	out.Closed[reason]++
	return Orders{Close: true}
}

// abandon leaves unanswered what is outstanding.
func (s *Session) abandon(out *Batch) {
	out.Unanswered[s.why] += int64(s.pairs.len())
	s.pairs.drain(func(seq int64, r *sent) {
		s.gaveUp(Pair{ID: seq, Outcome: OutcomeUnanswered, Unanswered: s.why}, r, out)
	})
	s.held = nil
}

// refuseOutstanding answers everything that is outstanding.
func (s *Session) refuseOutstanding(why Refusal, text string, out *Batch) {
	out.Refused[why] += int64(s.pairs.len())
	s.pairs.drain(func(seq int64, r *sent) {
		s.reply = s.protocol.AppendRefusal(s.reply, seq, text)
		s.gaveUp(Pair{ID: seq, Outcome: OutcomeRefused, Refusal: why}, r, out)
	})
}
