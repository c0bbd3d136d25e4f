package protocol

// Kind is the role of a message in an exchange. The zero Kind means that no
// message has ended yet.
type Kind uint8

const (
	// Request asks for an answer.
	Request Kind = iota + 1
	// Positive is an answer that grants a request.
	Positive
	// Negative is an answer that refuses a request.
	Negative
	// Malformed is a run of bytes that the protocol can delimit but not
	// understand. Its [Message.Fault] says why.
	Malformed
)

// Fault says why a message is malformed.
type Fault uint8

const (
	// FaultType is a message whose type the protocol does not know.
	FaultType Fault = iota
	// FaultSeq is a message without a number where one is due.
	FaultSeq
	// FaultRange is a number that does not fit into 64 bits.
	FaultRange
	// FaultHeader is a header that is longer than any sensible speaker's.
	FaultHeader
	// FaultTruncated is a message that its sender began and did not finish.
	FaultTruncated
	// NumFaults is the number of faults, for arrays that are indexed by them.
	NumFaults
)

// String returns the fault as statistics and metrics name it.
func (f Fault) String() string {
	return [NumFaults]string{"type", "seq", "range", "header", "truncated"}[f]
}

// Quirk is a way in which a well-formed message is not quite as the protocol
// wants it.
type Quirk uint8

const (
	// QuirkText is a text that is not UTF-8.
	QuirkText Quirk = iota
	// QuirkCRLF is a line that ends in a carriage return and a newline.
	QuirkCRLF
	// NumQuirks is the number of quirks, for arrays that are indexed by them.
	NumQuirks
)

// String returns the quirk as statistics and metrics name it.
func (q Quirk) String() string { return [NumQuirks]string{"non_utf8", "crlf"}[q] }

// Quirks is a set of quirks: bit 1<<q is set for each quirk q.
type Quirks uint8

// Has reports whether q is in the set.
func (s Quirks) Has(q Quirk) bool { return s&(1<<q) != 0 }

// Message is what a decoder reports of a message that has ended.
type Message struct {
	// Kind is zero if no message ended.
	Kind Kind
	// Fault is meaningful if Kind is Malformed.
	Fault Fault
	// Stray marks an answer that by its own words answers no request, whatever
	// its ID says.
	Stray bool
	// Quirks are those of a well-formed message.
	Quirks Quirks
	// ID correlates a request with its answer.
	ID int64
	// Size counts the message's bytes on the wire, framing included.
	Size int64
}

// Phase says where in a message a decoder stands.
type Phase uint8

const (
	// Between is the boundary between two messages.
	Between Phase = iota
	// Header is inside a message that may still turn out malformed.
	Header
	// Body is inside a message that is known to be well-formed.
	Body
	// Bad is inside a message that is known to be malformed.
	Bad
)

// A Decoder follows one direction of one connection. It is not safe for
// concurrent use.
type Decoder interface {
	// Next consumes bytes of b up to and including the end of the first
	// message that ends in b, or all of b if none does. It returns how many
	// bytes it consumed, which is zero only if b is empty, and the message
	// that ended, if any. It keeps no reference to b.
	Next(b []byte) (n int, m Message)

	// Phase says where the decoder stands after the bytes that it was fed.
	Phase() Phase

	// Partial returns what is known of the unfinished message. Its Kind and
	// ID are meaningful only in phase Body.
	Partial() Message
}

// A Protocol makes decoders, and the few messages that a sidecar sends of its
// own. It is safe for concurrent use.
type Protocol interface {
	// NewDecoder returns a decoder for one direction of a connection.
	NewDecoder() Decoder

	// AppendRefusal appends a negative answer to the request with the given
	// ID. The reason is a short text for people.
	AppendRefusal(dst []byte, id int64, reason string) []byte

	// AppendUndecodable appends the answer to a message that could not be
	// decoded.
	AppendUndecodable(dst []byte) []byte
}
