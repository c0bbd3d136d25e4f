package proxy

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// Carrier knows how requests carry a W3C trace context. It must be safe for
// concurrent use.
type Carrier interface {
	// Find looks for a trace context in a request's first bytes.
	Find(head []byte) Carried
	// Insert appends head to dst, with c where a request without a context carries
	// one.
	Insert(dst, head []byte, c protocol.TraceContext) []byte
}

// Carried is where a request carries a trace context. The zero Carried is
// nowhere.
type Carried struct {
	Context protocol.TraceContext
	// From and To enclose all that is there for the context's sake, At and End the
	// traceparent itself.
	From, To, At, End int
}

// Propagation is what a session does with trace contexts in requests.
type Propagation struct {
	// Extract takes the context that a request brings as the parent of its pair.
	Extract bool
	// Inject gives a request that is traced the context of its pair's span,
	// instead of the one that it brings.
	Inject bool
	// Strip takes the context out of requests before they are passed on, unless
	// Inject gives them another one.
	Strip bool
}

// carryHead is how many of a request's first bytes are searched for a trace
// context. They are held back until they are there.
const carryHead = 512

// carrying is what a session knows of the trace context of the client's current
// message.
type carrying struct {
	done   bool   // the message's head was passed on
	note   *note  // what the head said
	buffer []byte // what is passed on, as contexts make it longer
}

// carryLater reports whether a message, of which part has come, is to be held
// back until more of it is there.
func (s *Session) carryLater(m protocol.Message, phase protocol.Phase, part int) bool {
	return s.policy.Carrier != nil && !s.carrying.done && m.Kind == 0 && phase != protocol.Bad && len(s.held)+part < carryHead
}

// carry appends to dst what is passed on of a part of a client's message, after
// what was held back of it.
func (s *Session) carry(dst []byte, m protocol.Message, part []byte) []byte {
	if s.carrying.done {
		return append(dst, part...)
	}
	s.carrying.done = true
	head := part
	if len(s.held) > 0 {
		s.held = append(s.held, part...)
		head, s.held = s.held, s.held[:0]
	}
	if m.Kind == 0 && s.client.Phase() == protocol.Body {
		m = s.client.Partial()
	}
	if m.Kind != protocol.Request {
		return append(dst, head...)
	}
	search := head[:min(len(head), carryHead)]
	found := s.policy.Carrier.Find(search)
	n := new(note)
	if s.policy.Propagation.Extract {
		n.parent = found.Context
	}
	s.carrying.note = n
	if n.parent.Valid() {
		n.chosen = n.parent.Sampled()
	} else {
		n.chosen = s.draw()
	}
	switch {
	case s.policy.Propagation.Inject && n.chosen:
		n.span = newContext(n.parent)
		if found.Context.Valid() {
			dst = append(dst, head[:found.At]...)
			dst = n.span.AppendTraceParent(dst)
			return append(dst, head[found.End:]...)
		}
		dst = s.policy.Carrier.Insert(dst, search, n.span)
		return append(dst, head[len(search):]...)
	case s.policy.Propagation.Strip && found.Context.Valid():
		dst = append(dst, head[:found.From]...)
		return append(dst, head[found.To:]...)
	}
	return append(dst, head...)
}

// newContext returns the context of a new span in the trace of its parent, or
// in a new one.
func newContext(parent protocol.TraceContext) protocol.TraceContext {
	c := protocol.TraceContext{TraceID: parent.TraceID, Flags: protocol.FlagSampled}
	if !parent.Valid() {
		binary.NativeEndian.PutUint64(c.TraceID[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(c.TraceID[8:], rand.Uint64()|1)
	}
	binary.NativeEndian.PutUint64(c.SpanID[:], rand.Uint64()|1)
	return c
}
