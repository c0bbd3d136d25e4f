package foo

import (
	"strconv"
	"strings"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// Protocol is the Foo protocol. Its zero value is ready to use.
type Protocol struct{}

var _ protocol.Protocol = Protocol{}

// NewDecoder implements [protocol.Protocol].
func (Protocol) NewDecoder() protocol.Decoder { return new(Decoder) }

// AppendRefusal implements [protocol.Protocol]: "NAK <seq> <reason>\n".
func (Protocol) AppendRefusal(dst []byte, id int64, reason string) []byte {
	return Append(dst, protocol.Negative, id, reason)
}

// AppendUndecodable implements [protocol.Protocol]: "NAK 0 ERRDECODE\n".
func (Protocol) AppendUndecodable(dst []byte) []byte {
	return Append(dst, protocol.Negative, 0, Undecodable)
}

// Append appends the line of a message to dst. The kind must be a request or
// an answer. A newline in data would end the line early, so each becomes a
// blank.
func Append[T ~string | ~[]byte](dst []byte, kind protocol.Kind, seq int64, data T) []byte {
	switch kind {
	case protocol.Request:
		dst = append(dst, "REQ "...)
	case protocol.Positive:
		dst = append(dst, "ACK "...)
	case protocol.Negative:
		dst = append(dst, "NAK "...)
	default:
		panic("BUG: foo.Append of kind " + strconv.Itoa(int(kind)))
	}
	dst = strconv.AppendInt(dst, seq, 10)
	if len(data) > 0 {
		dst = append(dst, ' ')
		start := len(dst)
		dst = append(dst, data...)
		for i := start; i < len(dst); i++ {
			if dst[i] == '\n' {
				dst[i] = ' '
			}
		}
	}
	return append(dst, '\n')
}

// Data returns the Data of a line that the decoder found well-formed, without
// the blanks around it and without the newline.
func Data(line string) string {
	rest := strings.TrimLeft(line, blanks)
	for range 2 { // the type and the Seq
		i := strings.IndexAny(rest, blanks+"\n")
		if i < 0 {
			return ""
		}
		rest = strings.TrimLeft(rest[i:], blanks)
	}
	return strings.TrimRight(rest, blanks+"\n")
}

// blanks are the bytes that separate the parts of a line.
const blanks = " \t\r\v\f"

// Header returns that part of the first bytes of a line that is no Data. Of a
// line that is malformed, these are just its first bytes: enough to see what it
// might have been, and too few to show what it says.
func Header(line []byte) []byte {
	d := new(Decoder)
	_, m := d.Next(line)
	if m.Kind == protocol.Malformed || m.Kind == 0 && d.Phase() != protocol.Body {
		const glimpse = 8
		return line[:min(len(line), glimpse)]
	}
	return line[:dataStart(line)]
}
