package proxy

import (
	"math"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// link is the state of a session's upstream connection.
type link uint8

const (
	// linkDialing: there is none, and the client waits for one.
	linkDialing link = iota
	// linkUp: there is one.
	linkUp
	// linkDown: there is none, the client has waited long enough and its requests
	// are refused. Dialing goes on.
	linkDown
	// linkEnded: the upstream has ended its connection and that was passed on to
	// the client, whose own bytes may still go to the upstream.
	linkEnded
	// linkClosing: the client is told the end, and what it still sends is read,
	// because closing on unread bytes would reset the connection and could destroy
	// the last answers on their way.
	linkClosing
	// linkClosed: the session has ended. Nothing changes any more.
	linkClosed
)

// Session is the state machine of one client connection and its upstream
// connection in session mode. It is told what happened and returns what to do;
// it does no I/O and knows the time only from the batches that it is given, in
// which it also reports what it saw.
//
// A driver calls one method at a time. Bytes must be passed on in the order in
// which the methods returned them, for each destination; where several
// goroutines drive a session, each must hold the destination's turn from before
// the call until the bytes are written.
type Session struct {
	policy   *Policy
	protocol protocol.Protocol
	client   protocol.Decoder
	upstream protocol.Decoder
	pairs    pairing

	link       link
	ending     CloseReason   // why, in linkClosing
	why        Unanswered    // what becomes of requests in linkClosing
	told       bool          // the client knows the end, in linkClosing
	clientDone bool          // the client has ended its connection
	draining   bool          // let the outstanding requests finish, then end
	swallow    bool          // drop the rest of the client's current message
	swallowWhy Refusal       // and refuse it for that
	proven     bool          // the upstream connection has brought a byte
	attempts   int           // dials since the last proven connection
	waiting    time.Duration // when the client began to wait for a connection
	active     time.Duration // when a byte last moved

	held  []byte // start of the client's current message, until it is known to be good
	reply []byte // answers of the session's own, waiting for the client's turn

	carrying carrying // the trace context of the client's current message

	// What observers want to know beyond counts.
	interest *Interest
	gap      int64            // pairs that chance passes over
	last     int64            // ID of the client's last request
	offset   [NumSides]int64  // bytes that the decoders were fed
	heads    [NumSides][]byte // start of an unfinished message
	wait     time.Duration    // how long the client waited for this connection
	waitAt   time.Duration    // when the first requests after that were read, or zero
	retries  int              // attempts to connect that had failed before
}

// NewSession returns a session in which nothing has happened yet. The policy
// must not change any more.
func NewSession(p protocol.Protocol, policy *Policy) *Session {
	return &Session{
		policy: policy, protocol: p, client: p.NewDecoder(), upstream: p.NewDecoder(),
		last: math.MinInt64,
	}
}

// maxReply is the size of the session's own answers from which on the client is
// not read, so that one that makes answers but takes none can't take memory.
const maxReply = 64 << 10

// Start begins the session, at the moment when its client has connected.
func (s *Session) Start(out *Batch) Orders {
	out.Opened++
	out.Queued++
	s.active = out.At
	return s.dial(out)
}

// WantsClient reports whether the client's bytes are to be read now.
func (s *Session) WantsClient() bool {
	return !s.clientDone && s.link != linkDialing && s.link != linkClosed && len(s.reply) <= maxReply
}

// dialing reports whether the client's bytes have to wait for a connection.
func (s *Session) dialing() bool { return s.link == linkDialing }

// upstreamDone reports whether nothing more can come from the upstream
// connection, though it may still be written to.
func (s *Session) upstreamDone() bool { return s.link == linkEnded }

// Connected tells that the upstream was reached.
func (s *Session) Connected(out *Batch) Orders {
	out.Dialed++
	if s.link != linkDialing && s.link != linkDown {
		return Orders{DropUpstream: true}
	}
	if s.link == linkDialing {
		s.wait, s.waitAt, s.retries = out.At-s.waiting, 0, s.attempts-1
	}
	s.setLink(linkUp, out)
	s.proven = false
	s.upstream = s.protocol.NewDecoder()
	s.offset[Upstream], s.heads[Upstream] = 0, nil
	return Orders{}
}

// DialFailed tells that the upstream was not reached.
func (s *Session) DialFailed(out *Batch) Orders {
	if s.link != linkDialing && s.link != linkDown {
		return Orders{} // the session's end has ended the attempt
	}
	out.DialFailures++
	return s.dial(out)
}

// dial orders the next attempt to reach the upstream. It gives up waiting when
// there is no time left for another one.
func (s *Session) dial(out *Batch) Orders {
	o := Orders{Dial: true}
	if s.attempts > 0 {
		o.DialAfter = s.policy.Backoff.pause(s.attempts)
	} else {
		s.waiting = out.At
	}
	if s.link == linkDialing && s.attempts > 0 {
		left := s.policy.Budget - (out.At - s.waiting)
		if o.DialAfter >= left {
			if left < s.policy.Backoff.pause(1) {
				if s.policy.CloseOnLoss {
					return s.finish(ClosedUnavailable, UnansweredUpstreamLost, out)
				}
				s.setLink(linkDown, out)
			} else {
				o.DialAfter = left / 2
			}
		}
	}
	if s.link == linkDialing && s.policy.Budget > 0 {
		o.DialBefore = s.policy.Budget - (out.At - s.waiting)
	}
	s.attempts++
	return o
}

// UpstreamLost tells that the upstream connection is no more: ended by the
// upstream, if clean, or broken.
func (s *Session) UpstreamLost(clean bool, out *Batch) Orders {
	was := s.link
	switch was {
	case linkUp, linkEnded:
		s.setLink(linkDown, out)
	case linkClosing: // its end is expected
		return Orders{DropUpstream: true}
	default:
		return Orders{}
	}
	torn := s.upstream.Phase() != protocol.Between
	if torn && was == linkUp {
		out.Malformed[Upstream][protocol.FaultTruncated]++
	}
	switch {
	case s.clientDone:
		if !clean || s.pairs.len() > 0 {
			out.Lost++
		}
		if !torn && !s.policy.CloseOnLoss {
			s.refuseOutstanding(RefusedLost, Unavailable, out)
		}
		return s.finish(ClosedByClient, UnansweredUpstreamLost, out)
	case s.policy.CloseOnLoss && clean && !s.draining:
		s.setLink(linkEnded, out)
		return Orders{EndClient: true}
	case s.policy.CloseOnLoss && clean:
		return s.finish(ClosedByUpstream, UnansweredUpstreamLost, out)
	case s.policy.CloseOnLoss:
		out.Lost++
		return s.finish(ClosedUpstreamLost, UnansweredUpstreamLost, out)
	}

	out.Lost++
	if torn {
		return s.finish(ClosedTorn, UnansweredUpstreamLost, out)
	}
	s.refuseOutstanding(RefusedLost, Unavailable, out)
	if s.draining {
		return s.finish(ClosedDrained, UnansweredDrained, out)
	}
	// A message that went down half sent must not begin with its second half on
	// the next connection.
	if s.client.Phase() != protocol.Between && len(s.held) == 0 && !s.swallow {
		s.swallow, s.swallowWhy = true, RefusedLost
	}
	s.setLink(linkDialing, out)
	s.wait, s.waitAt, s.retries = 0, 0, 0
	if s.proven {
		s.attempts = 0
	} else {
		s.waiting = out.At
	}
	o := s.dial(out)
	o.DropUpstream = true
	o.Flush = len(s.reply) > 0
	return o
}

// ClientEnded tells that the client will send no more.
func (s *Session) ClientEnded(out *Batch) Orders {
	if s.clientDone || s.link == linkClosed {
		return Orders{}
	}
	s.clientDone = true
	if s.client.Phase() != protocol.Between {
		out.Malformed[Client][protocol.FaultTruncated]++
	}
	switch s.link {
	case linkUp:
		return s.drained(Orders{EndUpstream: true}, out)
	case linkClosing:
		if !s.told {
			return Orders{} // its answers are still being written
		}
		return s.close(s.ending, s.why, out)
	case linkEnded:
		return s.finish(ClosedByUpstream, UnansweredUpstreamLost, out)
	}
	return s.finish(ClosedByClient, UnansweredClientLeft, out)
}

// ClientTold tells that writing to the client was shut down, after all that was
// for it.
func (s *Session) ClientTold(out *Batch) Orders {
	if s.link != linkClosing {
		return Orders{}
	}
	s.told = true
	if s.clientDone {
		return s.close(s.ending, s.why, out)
	}
	return Orders{Linger: true}
}

// ClientLost tells that the client's connection broke.
func (s *Session) ClientLost(out *Batch) Orders {
	return s.close(ClosedClientLost, UnansweredClientLeft, out)
}

// Drain tells that the session is to end as soon as nothing is outstanding. New
// requests are refused from now on.
func (s *Session) Drain(out *Batch) Orders {
	s.draining = true
	switch s.link {
	case linkEnded:
		return s.finish(ClosedByUpstream, UnansweredUpstreamLost, out)
	case linkDialing: // what the client has sent was not read yet: it is refused
		s.setLink(linkDown, out)
		return Orders{Linger: true}
	}
	return s.drained(Orders{}, out)
}

// Cut tells that the session must end now. If the client can still be told so,
// the session lingers, and the next Cut ends it.
func (s *Session) Cut(out *Batch) Orders {
	switch {
	case s.link == linkClosing:
		return s.close(s.ending, s.why, out)
	case s.policy.CloseOnLoss || s.upstream.Phase() != protocol.Between:
		return s.close(ClosedCut, UnansweredDrained, out)
	case s.link == linkClosed:
		return Orders{}
	}
	reason := ClosedCut
	if s.draining && s.pairs.len() == 0 {
		reason = ClosedDrained
	}
	s.refuseOutstanding(RefusedDraining, Draining, out)
	o := s.finish(reason, UnansweredDrained, out)
	o.Linger = true
	return o
}

// Idle ends the session if nothing is outstanding and nothing has moved for
// the given time. Otherwise it returns how long until that may be so, and zero
// after the end. A session that is ending, but whose client does not take what
// is left for it, is ended without.
func (s *Session) Idle(timeout time.Duration, out *Batch) (Orders, time.Duration) {
	left := timeout - (out.At - s.active)
	switch {
	case s.link == linkClosed:
		return Orders{}, 0
	case s.pairs.len() > 0 || s.link == linkDialing:
		return Orders{}, timeout
	case left > 0:
		return Orders{}, left
	case s.link == linkClosing:
		return s.close(s.ending, s.why, out), 0
	}
	s.active = out.At
	return s.finish(ClosedIdle, UnansweredClientLeft, out), timeout
}

// TakeReply returns the session's own answers to the client, unless the client
// is in the middle of an answer from the upstream; they follow it then. The
// caller must have the client's turn.
func (s *Session) TakeReply() []byte {
	if s.upstream.Phase() != protocol.Between {
		return nil
	}
	return s.takeReply()
}

func (s *Session) takeReply() []byte {
	reply := s.reply
	s.reply = nil
	return reply
}

// setLink changes the state of the upstream connection, and counts the client
// in and out of those that wait for one.
func (s *Session) setLink(to link, out *Batch) {
	if to == linkDialing {
		out.Queued++
	} else if s.link == linkDialing {
		out.Dequeued++
	}
	s.link = to
}

// Oldest returns when the oldest of the outstanding requests came, and whether
// there is one.
func (s *Session) Oldest() (at time.Duration, ok bool) {
	if s.pairs.len() == 0 {
		return 0, false
	}
	return s.pairs.oldest(), true
}
