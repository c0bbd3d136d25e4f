package proxy

import (
	"math"
	"net"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// Outcome says how a request ended.
type Outcome uint8

const (
	// OutcomeAck: the upstream granted it.
	OutcomeAck Outcome = iota
	// OutcomeNak: the upstream refused it.
	OutcomeNak
	// OutcomeRefused: the sidecar refused it; [Pair.Refusal] says why.
	OutcomeRefused
	// OutcomeUnanswered: it got no answer; [Pair.Unanswered] says why.
	OutcomeUnanswered
	// NumOutcomes is the number of outcomes, for arrays that are indexed by them.
	NumOutcomes
)

// String returns the outcome as statistics, traces and logs name it.
func (o Outcome) String() string {
	return [NumOutcomes]string{"ack", "nak", "nak_local", "unanswered"}[o]
}

// Why says why a pair is reported by itself: one bit for each reason.
type Why uint8

const (
	// WhyFailed: it was refused or not answered.
	WhyFailed Why = 1 << iota
	// WhySlow: it took at least [Interest.Slow].
	WhySlow
	// WhySampled: chance chose it, one of [Interest.Ratio].
	WhySampled
	// WhyParent: its request belongs to a trace that is sampled.
	WhyParent
	// WhyTapped: somebody watches pairs like it, see [Interest.Tap].
	WhyTapped
)

// Interest says which pairs an observer wants to see one by one, beside the
// counts of all. It must not change once it is in use. The zero Interest sees
// slow pairs only, which are all; nil wants none.
type Interest struct {
	// Failed pairs are wanted.
	Failed bool
	// Slow pairs are wanted: those that took at least so long. [NeverSlow] wants
	// none.
	Slow time.Duration
	// Ratio is the share of all pairs, from 0 to 1, that are chosen by chance.
	Ratio float64
	// Tap, unless nil, are pairs that somebody watches.
	Tap *Tap
	// Capture is how many bytes of each message a pair shows, at most
	// [MaxCapture].
	Capture int
}

// MaxCapture is how many bytes of a message can be seen at most.
const MaxCapture = 512

// NeverSlow as [Interest.Slow] is a time that no pair takes.
const NeverSlow = time.Duration(math.MaxInt64)

// Tap is what somebody watches: pairs of these outcomes that took at least so
// long.
type Tap struct {
	Outcomes [NumOutcomes]bool
	Slower   time.Duration
}

// Pair is one request and how it ended.
type Pair struct {
	// ID is the request's.
	ID      int64
	Outcome Outcome
	// Refusal and Unanswered are meaningful for these outcomes.
	Refusal    Refusal
	Unanswered Unanswered
	// Why it is reported.
	Why Why
	// Start is the end of the request, End the end of its answer, or the moment
	// when it was given up; both on the clock of [Batch.At].
	Start, End time.Duration
	// RequestSize and AnswerSize are bytes on the wire. There is no answer's size
	// unless the upstream made it.
	RequestSize, AnswerSize int64
	// Wait is how long the session had been waiting for an upstream connection
	// when the request could be read, and Retries how many attempts to get one had
	// failed by then.
	Wait    time.Duration
	Retries int
	// Request and Answer are the first [Interest.Capture] bytes of the messages,
	// as far as they are known. They are valid during Observe only.
	Request, Answer []byte
	// Parent is the trace context that the request brought, Span the one that it
	// was given on its way to the upstream. Zero: none.
	Parent, Span protocol.TraceContext
}

// Violation is one breach of the protocol.
type Violation struct {
	Side Side
	// Kind says what is wrong, see [Violation.Name].
	Kind ViolationKind
	// Offset is where in the bytes of that side the message begins.
	Offset int64
	// Size is the length of the message, Raw what is known of its start. Raw is
	// valid during Observe only.
	Size int64
	Raw  []byte
}

// ViolationKind says how the protocol was violated: by a fault that made a
// message undecodable, or by one of the kinds below.
type ViolationKind uint8

// The quirks of a message.
const (
	ViolatedText = ViolationKind(protocol.NumFaults) + ViolationKind(protocol.QuirkText)
	ViolatedCRLF = ViolationKind(protocol.NumFaults) + ViolationKind(protocol.QuirkCRLF)
)

const (
	// ViolatedDuplicate: a request has the ID of one that is outstanding.
	ViolatedDuplicate = ViolationKind(protocol.NumFaults) + ViolationKind(protocol.NumQuirks) + iota
	// ViolatedOrder: a request's ID is not above the one before.
	ViolatedOrder
	// ViolatedUnmatched: an answer answers no request.
	ViolatedUnmatched
	// ViolatedSide: a request from a server, or an answer from a client.
	ViolatedSide
	// NumViolations is the number of kinds.
	NumViolations
)

// String returns the kind as statistics and metrics name it.
func (k ViolationKind) String() string {
	switch {
	case k < ViolationKind(protocol.NumFaults):
		return protocol.Fault(k).String()
	case k < ViolatedDuplicate:
		return protocol.Quirk(k - ViolationKind(protocol.NumFaults)).String()
	}
	return [...]string{"duplicate_seq", "non_ascending", "unmatched", "wrong_side"}[k-ViolatedDuplicate]
}

// SessionInfo is what an observer is told of a session. The zero SessionInfo is
// what belongs to no session.
type SessionInfo struct {
	// ID is different for each session of the listeners that share
	// [ListenerOptions.LastID]; the first has 1.
	ID uint64
	// Client is the client's address.
	Client net.Addr
}

// Connection is an upstream connection.
type Connection struct {
	// Endpoint is the address that was dialed, Remote the one that was reached.
	Endpoint string
	Remote   net.Addr
	// Since is when it was there, Ended when it ended, or zero.
	Since, Ended time.Duration
}
