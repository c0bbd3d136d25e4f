package wire

import (
	"io"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
)

// The buffer of a Reader begins small, as most connections of many are quiet,
// and grows while reads fill it.
const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

// Message is one line, read whole.
type Message struct {
	protocol.Message
	// Data is the line's Data without the blanks around it. It is valid until
	// the next call of [Reader.Fill].
	Data []byte
}

// Reader reads messages. Call Fill, then Next until there is no more, and so
// on. It is not safe for concurrent use.
type Reader struct {
	src     io.Reader
	maxLine int
	decoder foo.Decoder
	// buf[line:next] is the part of the unfinished line that was decoded,
	// buf[next:end] is what was not decoded yet.
	buf             []byte
	line, next, end int
}

// NewReader returns a reader. A line longer than maxLine bytes, newline
// included, is skipped and reported as malformed; no more memory than that is
// taken for a line.
func NewReader(src io.Reader, maxLine int) *Reader {
	return &Reader{src: src, maxLine: maxLine, buf: make([]byte, smallBuffer)}
}

// Fill reads once. What came with an error is there for Next all the same.
func (r *Reader) Fill() error {
	r.makeRoom()
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	return err
}

// makeRoom makes room for a read. All lines that ended were taken before.
func (r *Reader) makeRoom() {
	full := r.end == len(r.buf)
	unfinished := r.buf[r.line:r.end]
	switch {
	case full && len(unfinished) == len(r.buf) && len(r.buf) >= r.maxLine:
		unfinished = nil // too long: the decoder alone follows it to its end
	case full && (len(r.buf) < largeBuffer || len(unfinished) == len(r.buf)):
		grown := make([]byte, 2*len(r.buf))
		copy(grown, unfinished)
		r.buf = grown
	default:
		copy(r.buf, unfinished)
	}
	r.line, r.next, r.end = 0, len(unfinished), len(unfinished)
}

// Next returns the next message that has been read to its end, if there is
// one. A malformed message has no Data.
func (r *Reader) Next() (Message, bool) {
	n, m := r.decoder.Next(r.buf[r.next:r.end])
	r.next += n
	if m.Kind == 0 {
		return Message{}, false
	}
	line := r.buf[r.line:r.next]
	r.line = r.next
	if m.Size > int64(r.maxLine) {
		m.Kind, m.Fault = protocol.Malformed, protocol.FaultHeader
	}
	if m.Kind == protocol.Malformed {
		return Message{Message: m}, true
	}
	return Message{Message: m, Data: data(line)}, true
}

// data returns the Data of a well-formed line.
func data(line []byte) []byte {
	i := len("REQ")
	for blank(line[i]) {
		i++
	}
	for !blank(line[i]) { // the Seq
		i++
	}
	for i < len(line) && blank(line[i]) {
		i++
	}
	end := len(line)
	for end > i && blank(line[end-1]) {
		end--
	}
	return line[i:end]
}

// blank reports whether c separates the parts of a line, or ends it.
func blank(c byte) bool { return c == ' ' || c-'\t' <= '\r'-'\t' }
