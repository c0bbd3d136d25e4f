package protocol

import (
	"encoding/hex"
	"errors"
)

// TraceContext is a W3C trace context, as far as the header traceparent has it;
// see https://www.w3.org/TR/trace-context/. The zero TraceContext is none.
type TraceContext struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte
}

// TraceParentLen is the length of a traceparent of version 00.
const TraceParentLen = 55

// FlagSampled is the flag of a trace that is being recorded.
const FlagSampled = 1

// Valid reports whether c names a span.
func (c TraceContext) Valid() bool { return c.TraceID != [16]byte{} && c.SpanID != [8]byte{} }

// Sampled reports whether c belongs to a trace that is being recorded.
func (c TraceContext) Sampled() bool { return c.Flags&FlagSampled != 0 }

// AppendTraceParent appends c as a traceparent of version 00.
func (c TraceContext) AppendTraceParent(dst []byte) []byte {
	dst = append(dst, "00-"...)
	dst = hex.AppendEncode(dst, c.TraceID[:])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, c.SpanID[:])
	dst = append(dst, '-')
	return hex.AppendEncode(dst, []byte{c.Flags})
}

var errTraceParent = errors.New("a traceparent is 00-<32 hexadecimal digits>-<16>-<2>, in lower case and not all zero")

// ParseTraceParent reads a traceparent. Of a version later than 00, which may
// go on behind the flags, it reads what version 00 has; version ff is none.
func ParseTraceParent(b []byte) (TraceContext, error) {
	var c TraceContext
	version, flags := [1]byte{}, [1]byte{}
	if len(b) < TraceParentLen || b[2] != '-' || b[35] != '-' || b[52] != '-' {
		return TraceContext{}, errTraceParent
	}
	for _, part := range []struct{ dst, src []byte }{
		{version[:], b[:2]}, {c.TraceID[:], b[3:35]}, {c.SpanID[:], b[36:52]}, {flags[:], b[53:55]},
	} {
		for _, digit := range part.src {
			if digit >= 'A' && digit <= 'F' {
				return TraceContext{}, errTraceParent
			}
		}
		if _, err := hex.Decode(part.dst, part.src); err != nil {
			return TraceContext{}, errTraceParent
		}
	}
	c.Flags = flags[0]
	long := len(b) > TraceParentLen
	if !c.Valid() || version[0] == 0xff || long && (version[0] == 0 || b[TraceParentLen] != '-') {
		return TraceContext{}, errTraceParent
	}
	return c, nil
}
