package foo

import (
	"bytes"
	"math"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// MaxHeader bounds the bytes of a line before its Data. A longer header, which
// only blanks or leading zeros can make, is malformed. The bound lets a relay
// hold back a header until it is known to be good.
const MaxHeader = 256

// Undecodable is the Data of the reference server's answer to a line that it
// could not decode: "NAK 0 ERRDECODE".
const Undecodable = "ERRDECODE"

// state is the position inside a line. The order matters: every state from
// stateData on is past the header.
type state uint8

const (
	stateType   state = iota // in the three letters of the type
	stateBlank               // in the whitespace before the Seq
	stateSign                // behind the Seq's sign
	stateDigits              // in the Seq's digits
	stateGap                 // behind the Seq, before Data or the end of the line
	stateData                // in Data, or anywhere behind it
	stateBad                 // in a line that is malformed
)

// Decoder is the push parser of the Foo protocol. Its memory does not depend
// on the length of a line. The zero value is ready to use.
type Decoder struct {
	state    state
	negative bool
	kind     protocol.Kind
	fault    protocol.Fault
	letters  [3]byte // of the type, as far as read
	matched  uint8   // bytes of Undecodable that Data has matched so far
	stray    bool    // Data is Undecodable and nothing else so far
	seq      uint64  // magnitude
	size     int64   // bytes of this line so far
	text     text    // what the line is made of
}

var _ protocol.Decoder = (*Decoder)(nil)

// Next implements [protocol.Decoder].
func (d *Decoder) Next(b []byte) (int, protocol.Message) {
	i := 0
	if d.size == 0 {
		i = d.plainHeader(b)
	}
	for ; i < len(b) && d.state < stateData; i++ {
		d.size++
		if b[i] == '\n' {
			d.text.look(b, i+1)
			return i + 1, d.end()
		}
		d.header(b[i])
	}
	rest := b[i:]
	n := bytes.IndexByte(rest, '\n')
	if n < 0 {
		d.data(rest)
		d.text.look(b, len(b))
		d.size += int64(len(rest))
		return len(b), protocol.Message{}
	}
	d.data(rest[:n])
	d.text.look(b, i+n+1)
	d.size += int64(n) + 1
	return i + n + 1, d.end()
}

// plainHeader reads a header in the form that nearly every line has: a type,
// one blank, at most 17 digits that don't start with zero, then a blank or the
// line's end. It returns the number of bytes read, or zero if the general
// parser has to look at the line.
func (d *Decoder) plainHeader(b []byte) int {
	if len(b) < 6 {
		return 0
	}
	kind := kindOf(b[0], b[1], b[2])
	if kind == 0 || b[3] != ' ' || b[4]-'1' > 8 {
		return 0
	}
	seq := uint64(0)
	for i := 4; i < len(b) && i < 4+18; i++ {
		c := b[i] - '0'
		if c <= 9 {
			seq = seq*10 + uint64(c)
			continue
		}
		switch b[i] {
		case ' ':
			i++
		case '\n': // left for the caller to find
		default:
			return 0
		}
		d.kind, d.seq, d.state, d.size = kind, seq, stateData, int64(i)
		return i
	}
	return 0
}

// header moves over one byte of a header, which is not the line's end.
func (d *Decoder) header(c byte) {
	if d.size > MaxHeader && d.state < stateGap {
		d.bad(protocol.FaultHeader)
		return
	}
	switch d.state {
	case stateType:
		d.letters[d.size-1] = c
		if d.size < 3 {
			return
		}
		d.kind = kindOf(d.letters[0], d.letters[1], d.letters[2])
		if d.kind == 0 {
			d.bad(protocol.FaultType)
			return
		}
		d.state = stateBlank
	case stateBlank:
		switch {
		case blank(c):
		case d.size == 4: // "REQx": the type goes on
			d.bad(protocol.FaultType)
		case c == '+' || c == '-':
			d.negative, d.state = c == '-', stateSign
		default:
			d.digit(c)
		}
	case stateSign:
		d.digit(c)
	case stateDigits:
		if blank(c) {
			d.gap()
			return
		}
		d.digit(c)
	case stateGap:
		if !blank(c) {
			d.state = stateData
			d.data([]byte{c})
		}
	}
}

// gap moves behind the Seq. Only "NAK 0" needs a look at what follows.
func (d *Decoder) gap() {
	d.state = stateData
	if d.kind == protocol.Negative && d.seq == 0 {
		d.state = stateGap
		d.stray = true
	}
}

// digit takes one digit of the Seq.
func (d *Decoder) digit(c byte) {
	c -= '0'
	if c > 9 {
		d.bad(protocol.FaultSeq)
		return
	}
	limit := uint64(math.MaxInt64)
	if d.negative {
		limit++
	}
	if d.seq > (limit-uint64(c))/10 {
		d.bad(protocol.FaultRange)
		return
	}
	d.seq = d.seq*10 + uint64(c)
	d.state = stateDigits
}

// data compares Data with Undecodable, in the one case where it matters.
func (d *Decoder) data(b []byte) {
	if !d.stray {
		return
	}
	for _, c := range b {
		switch {
		case int(d.matched) < len(Undecodable) && c == Undecodable[d.matched]:
			d.matched++
		case int(d.matched) == len(Undecodable) && blank(c):
		default:
			d.stray = false
			return
		}
	}
}

func (d *Decoder) bad(f protocol.Fault) {
	d.state, d.fault = stateBad, f
}

// end reports the line that has ended and makes ready for the next one.
func (d *Decoder) end() protocol.Message {
	switch d.state {
	case stateType:
		d.bad(protocol.FaultType)
	case stateBlank, stateSign:
		d.bad(protocol.FaultSeq)
	}
	m := protocol.Message{Kind: d.kind, ID: d.id(), Size: d.size, Quirks: d.text.quirks()}
	if d.state == stateBad {
		m = protocol.Message{Kind: protocol.Malformed, Fault: d.fault, Size: d.size}
	}
	m.Stray = d.stray && int(d.matched) == len(Undecodable)
	*d = Decoder{text: text{ascii: d.text.ascii}}
	return m
}

func (d *Decoder) id() int64 {
	if d.negative {
		return -int64(d.seq)
	}
	return int64(d.seq)
}

// Phase implements [protocol.Decoder].
func (d *Decoder) Phase() protocol.Phase {
	switch {
	case d.size == 0:
		return protocol.Between
	case d.state == stateBad:
		return protocol.Bad
	case d.state >= stateGap:
		return protocol.Body
	}
	return protocol.Header
}

// Partial implements [protocol.Decoder].
func (d *Decoder) Partial() protocol.Message {
	return protocol.Message{Kind: d.kind, ID: d.id(), Size: d.size}
}

// kindOf returns the kind that the three letters of a type name, or zero.
func kindOf(a, b, c byte) protocol.Kind {
	switch uint32(a)<<16 | uint32(b)<<8 | uint32(c) {
	case 'R'<<16 | 'E'<<8 | 'Q':
		return protocol.Request
	case 'A'<<16 | 'C'<<8 | 'K':
		return protocol.Positive
	case 'N'<<16 | 'A'<<8 | 'K':
		return protocol.Negative
	}
	return 0
}

// blank reports whether c separates the parts of a line.
func blank(c byte) bool {
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'
}
