package proxy

import (
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// Side names one of the two connections of a session.
type Side uint8

const (
	// Client is the side that connected to the sidecar.
	Client Side = iota
	// Upstream is the side that the sidecar connected to.
	Upstream
	// NumSides is the number of sides, for arrays that are indexed by them.
	NumSides
)

// String returns the side as statistics and metrics name it.
func (s Side) String() string { return [NumSides]string{"client", "upstream"}[s] }

// Refusal says why the sidecar itself sent a negative answer.
type Refusal uint8

// Those that end a request come first, see [Refusal.EndsRequest].
const (
	// RefusedUnavailable: there was no upstream connection to send a request to.
	RefusedUnavailable Refusal = iota
	// RefusedLost: the upstream connection was lost while the request was outstanding.
	RefusedLost
	// RefusedDraining: the request came while draining, or was still outstanding
	// when draining had to end.
	RefusedDraining
	// RefusedUndecodable: a malformed message was rejected. It ends no request.
	RefusedUndecodable
	// RefusedLimit: the listener had no room for the connection. It ends no request.
	RefusedLimit
	// NumRefusals is the number of refusals, for arrays that are indexed by them.
	NumRefusals
)

// String returns the refusal as statistics and metrics name it.
func (r Refusal) String() string {
	return [NumRefusals]string{"unavailable", "lost", "draining", "undecodable", "limit"}[r]
}

// EndsRequest reports whether a refusal is the answer to a request that was
// read, so that it ends that request.
func (r Refusal) EndsRequest() bool { return r <= RefusedDraining }

// Unanswered says why a request got no answer at all.
type Unanswered uint8

const (
	// UnansweredClientLeft: the client closed its connection before the answer.
	UnansweredClientLeft Unanswered = iota
	// UnansweredUpstreamLost: the upstream was lost and the session ended with it.
	UnansweredUpstreamLost
	// UnansweredDrained: draining ended the session.
	UnansweredDrained
	// UnansweredForgotten: too many requests were outstanding to remember this one.
	UnansweredForgotten
	// UnansweredRestart: the sidecar itself died; known from its checkpoint.
	UnansweredRestart
	// NumUnanswered is the number of reasons, for arrays that are indexed by them.
	NumUnanswered
)

// String returns the reason as statistics and metrics name it.
func (u Unanswered) String() string {
	return [NumUnanswered]string{"client_left", "upstream_lost", "drained", "forgotten", "restart"}[u]
}

// CloseReason says why a session ended. The zero CloseReason means that it
// has not.
type CloseReason uint8

const (
	// ClosedByClient: the client ended its connection, and everything was passed on.
	ClosedByClient CloseReason = iota + 1
	// ClosedByUpstream: the upstream ended its connection (onLoss: close).
	ClosedByUpstream
	// ClosedClientLost: the client's connection broke.
	ClosedClientLost
	// ClosedUpstreamLost: the upstream's connection broke (onLoss: close).
	ClosedUpstreamLost
	// ClosedUnavailable: no upstream could be reached (onLoss: close).
	ClosedUnavailable
	// ClosedTorn: the upstream was lost in the middle of an answer.
	ClosedTorn
	// ClosedIdle: nothing moved for the idle timeout.
	ClosedIdle
	// ClosedDrained: the listener drained and nothing was outstanding.
	ClosedDrained
	// ClosedCut: the listener drained, and time was up.
	ClosedCut
	// ClosedRestart: the sidecar itself died; known from its checkpoint.
	ClosedRestart
	// NumCloseReasons is the number of reasons, for arrays that are indexed by them.
	NumCloseReasons
)

// String returns the reason as statistics and metrics name it.
func (r CloseReason) String() string {
	return [NumCloseReasons]string{
		"open", "client", "upstream", "client_lost", "upstream_lost",
		"unavailable", "torn", "idle", "drained", "cut", "restart",
	}[r]
}

// Counts is everything that is counted. All fields only ever grow, so Counts
// of several sessions, listeners or lives of the process add up. What is there
// now (sessions, requests in flight) is the difference of what came and what
// went.
type Counts struct {
	// Requests, Positives and Negatives are the well-formed messages, whichever
	// side sent them. Answers of the sidecar's own are not among them.
	Requests, Positives, Negatives int64
	// ServerRequests and ClientAnswers are those of them that came from the
	// side that should not send such. They take part in no pair.
	ServerRequests, ClientAnswers int64
	// Acked and Naked are the pairs: requests that the upstream answered.
	Acked, Naked int64
	// Unmatched are the upstream's answers that answer no outstanding request.
	Unmatched int64
	// Refused are the negative answers that the sidecar made.
	Refused [NumRefusals]int64
	// Unanswered are the requests that ended without an answer.
	Unanswered [NumUnanswered]int64
	// Malformed are the undecodable messages, by the side that sent them.
	Malformed [NumSides][protocol.NumFaults]int64
	// Quirks are the well-formed messages that are not quite as the protocol wants
	// them, by the side that sent them. One message may have several.
	Quirks [NumSides][protocol.NumQuirks]int64
	// DuplicateSeqs are the requests whose ID was outstanding already, and
	// NonAscending those whose ID is not above the one before.
	DuplicateSeqs, NonAscending int64
	// Bytes were received from that side.
	Bytes [NumSides]int64
	// Opened are the sessions that began, Closed those that ended.
	Opened int64
	Closed [NumCloseReasons]int64
	// Queued are the times that a session began to wait for an upstream
	// connection, Dequeued those that it ceased to.
	Queued, Dequeued int64
	// Rejected are the connections that were turned away at the limit. They are
	// not among Opened.
	Rejected int64
	// AcceptErrors are the failures to accept a connection.
	AcceptErrors int64
	// Dialed and DialFailures are the attempts to reach the upstream that
	// succeeded and that failed. Lost are the upstream connections that broke, or
	// ended before their client had all its answers.
	Dialed, DialFailures, Lost int64
}

// Add adds o to c.
func (c *Counts) Add(o *Counts) {
	c.Requests += o.Requests
	c.Positives += o.Positives
	c.Negatives += o.Negatives
	c.ServerRequests += o.ServerRequests
	c.ClientAnswers += o.ClientAnswers
	c.Acked += o.Acked
	c.Naked += o.Naked
	c.Unmatched += o.Unmatched
	addAll(c.Refused[:], o.Refused[:])
	addAll(c.Unanswered[:], o.Unanswered[:])
	for side := range o.Malformed {
		addAll(c.Malformed[side][:], o.Malformed[side][:])
		addAll(c.Quirks[side][:], o.Quirks[side][:])
	}
	c.DuplicateSeqs += o.DuplicateSeqs
	c.NonAscending += o.NonAscending
	addAll(c.Bytes[:], o.Bytes[:])
	c.Opened += o.Opened
	addAll(c.Closed[:], o.Closed[:])
	c.Queued += o.Queued
	c.Dequeued += o.Dequeued
	c.Rejected += o.Rejected
	c.AcceptErrors += o.AcceptErrors
	c.Dialed += o.Dialed
	c.DialFailures += o.DialFailures
	c.Lost += o.Lost
}

func addAll(to, from []int64) {
	for i, n := range from {
		to[i] += n
	}
}

func sum(counts []int64) (total int64) {
	for _, n := range counts {
		total += n
	}
	return total
}

// ClientRequests is the number of requests that clients sent: those that are
// paired, timed and shown as the request rate.
func (c *Counts) ClientRequests() int64 { return c.Requests - c.ServerRequests }

// Answers is the number of answers that upstreams sent: those that are shown
// as the response rate.
func (c *Counts) Answers() int64 { return c.Positives + c.Negatives - c.ClientAnswers }

// InFlight is the number of requests that have not ended yet.
func (c *Counts) InFlight() int64 {
	ended := c.Acked + c.Naked + c.UnansweredTotal()
	for r, n := range c.Refused {
		if Refusal(r).EndsRequest() {
			ended += n
		}
	}
	return c.ClientRequests() - ended
}

// RefusedTotal is the number of negative answers that the sidecar made.
func (c *Counts) RefusedTotal() int64 { return sum(c.Refused[:]) }

// UnansweredTotal is the number of requests that ended without an answer.
func (c *Counts) UnansweredTotal() int64 { return sum(c.Unanswered[:]) }

// Sessions is the number of sessions that are open.
func (c *Counts) Sessions() int64 { return c.Opened - sum(c.Closed[:]) }

// Waiting is the number of sessions that wait for an upstream connection.
func (c *Counts) Waiting() int64 { return c.Queued - c.Dequeued }

// Batch is what one event of a session, mostly one read, brought to light.
type Batch struct {
	Counts
	// At is the time of the event, on the clock of [ListenerOptions.Now].
	At time.Duration
	// Latencies are those of the pairs in Counts: the time from the end of a
	// request to the end of its answer.
	Latencies []time.Duration

	// Interest is what the observer wants to see besides; the driver asks for it
	// before the event.
	Interest *Interest
	// Pairs are the requests that ended and that Interest wants, at most so many
	// that a batch stays small. Omitted are those that found no room.
	Pairs   []Pair
	Omitted int64
	// Violations are the first breaches of the protocol, if there is an Interest.
	Violations []Violation
	// Upstream is the session's upstream connection, nil if there has been none
	// yet. Its Ended is set from the batch on that tells of its end.
	Upstream *Connection
}

// An Observer is told what passes. Its methods are called concurrently by many
// sessions and must not block. Batches of one session come one after the other.
type Observer interface {
	// Observe is told of a batch, of which it must keep nothing but the
	// Connection, and that only to read it in later calls.
	Observe(b *Batch)
	// Interest returns what is wanted now, nil for nothing. It is called once a
	// read.
	Interest() *Interest
}
