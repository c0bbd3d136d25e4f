package foo

import (
	"bytes"
	"regexp"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// contextKey begins a trace context in Data: "REQ 1 traceparent=00-... rest".
const contextKey = "traceparent="

// Place is where the first bytes of a request carry a trace context. The zero
// Place is nowhere.
type Place struct {
	Context protocol.TraceContext
	// From and To enclose all that is there for the context's sake, At and End the
	// traceparent itself.
	From, To, At, End int
}

// FindContext looks for a trace context in the first bytes of a request. By the
// convention of docs/protocol.md it is at the start of Data:
// "traceparent=<traceparent>", then a blank or the line's end. With a pattern it
// is what the pattern's first group matches, anywhere in those bytes of Data.
// What is no valid traceparent is none.
func FindContext(head []byte, pattern *regexp.Regexp) Place {
	start := dataStart(head)
	data := bytes.TrimSuffix(head[start:], []byte{'\n'})
	if pattern != nil {
		return matchContext(data, start, pattern)
	}
	value, ok := bytes.CutPrefix(data, []byte(contextKey))
	if !ok {
		return Place{}
	}
	end := bytes.IndexAny(value, blanks)
	separator := 0 // that belongs to the context
	switch {
	case end < 0:
		end = len(value)
	case value[end] != '\r':
		separator = 1
	}
	c, err := protocol.ParseTraceParent(value[:end])
	if err != nil {
		return Place{}
	}
	at := start + len(contextKey)
	return Place{Context: c, From: start, To: at + end + separator, At: at, End: at + end}
}

func matchContext(data []byte, start int, pattern *regexp.Regexp) Place {
	m := pattern.FindSubmatchIndex(data)
	if len(m) < 4 || m[2] < 0 {
		return Place{}
	}
	c, err := protocol.ParseTraceParent(data[m[2]:m[3]])
	if err != nil {
		return Place{}
	}
	return Place{Context: c, From: start + m[0], To: start + m[1], At: start + m[2], End: start + m[3]}
}

// InsertContext appends head, which is the start of a request or all of it, to
// dst, with a trace context at the start of its Data.
func InsertContext(dst, head []byte, c protocol.TraceContext) []byte {
	start := dataStart(head)
	if head[start-1] == '\r' && (start == len(head) || head[start] == '\n') {
		start-- // it belongs to the line's end
	}
	dst = append(dst, head[:start]...)
	if last := dst[len(dst)-1]; !bytes.ContainsRune([]byte(blanks), rune(last)) {
		dst = append(dst, ' ')
	}
	dst = append(dst, contextKey...)
	dst = c.AppendTraceParent(dst)
	if rest := head[start:]; len(rest) > 0 && rest[0] != '\n' && rest[0] != '\r' {
		dst = append(dst, ' ')
	}
	return append(dst, head[start:]...)
}

// dataStart returns where Data begins in the first bytes of a well-formed line,
// or where the line ends if there is none.
func dataStart(head []byte) int {
	i := min(3, len(head)) // the type
	for i < len(head) && blank(head[i]) {
		i++
	}
	for i < len(head) && !blank(head[i]) && head[i] != '\n' { // the Seq
		i++
	}
	for i < len(head) && blank(head[i]) {
		i++
	}
	return i
}
