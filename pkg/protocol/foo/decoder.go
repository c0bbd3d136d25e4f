package foo

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

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
		h := plainHeader(b)
		if n := d.plainLine(b, h); n > 0 {
			m := protocol.Message{Kind: h.kind, ID: int64(h.seq), Size: int64(n)}
			if b[n-2] == '\r' {
				m.Quirks = 1 << protocol.QuirkCRLF
			}
			return n, m
		}
		if h.size > 0 {
			d.kind, d.seq, d.state, d.size = h.kind, h.seq, stateData, int64(h.size)
		}
		i = h.size
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

// header is what plainHeader read: size bytes, zero if the general parser has to
// look at the line.
type header struct {
	size int
	kind protocol.Kind
	seq  uint64
}

// plainHeader reads a header in the form that nearly every line has: a type,
// one blank, at most 17 digits that don't start with zero, then a blank or the
// line's end, which it leaves.
func plainHeader(b []byte) header {
	if len(b) < 12 || b[3] != ' ' || b[4] == '0' {
		return header{}
	}
	kind := kindOf(binary.BigEndian.Uint32(b) >> 8)
	seq, digits := leadingDigits(binary.LittleEndian.Uint64(b[4:]))
	if kind == 0 || digits == 0 {
		return header{}
	}
	for i, c := range b[4+digits : min(len(b), 4+18)] {
		if digit := c - '0'; digit <= 9 {
			seq = seq*10 + uint64(digit)
			continue
		}
		switch c {
		case ' ':
			return header{4 + digits + i + 1, kind, seq}
		case '\n':
			return header{4 + digits + i, kind, seq}
		}
		break
	}
	return header{}
}

// leadingDigits returns the number that the first of eight bytes show, and how
// many of them do. It works on all eight at once: see D. Lemire, "Quickly parsing
// eight digits", 2018.
func leadingDigits(x uint64) (n uint64, digits int) {
	const each = 0x0101010101010101
	x ^= '0' * each
	// The high bit of each byte that is more than nine.
	others := (x&(0x7f*each) + (0x7f-9)*each | x) & (0x80 * each)
	digits = bits.TrailingZeros64(others) / 8
	if digits == 0 {
		return 0, 0
	}
	x <<= 64 - 8*digits // zeros go before
	x = x*10 + x>>8
	const low = 0x000000ff000000ff
	return (x&low*(100+1_000_000<<32) + x>>16&low*(1+10_000<<32)) >> 32, digits
}

// plainLine returns the size of a line that begins with the given header, is all
// there, and nothing but ASCII, so that it is known without a state. Otherwise
// it returns zero.
func (d *Decoder) plainLine(b []byte, h header) int {
	if h.size == 0 {
		return 0
	}
	end := bytes.IndexByte(b[h.size:], '\n')
	if end < 0 {
		return 0
	}
	end += h.size + 1
	if d.text.ascii < end {
		d.text.ascii += asciiPrefix(b[d.text.ascii:])
		if d.text.ascii < end {
			return 0
		}
	}
	d.text.ascii -= end
	return end
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
		d.kind = kindOf(uint32(d.letters[0])<<16 | uint32(d.letters[1])<<8 | uint32(d.letters[2]))
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
func kindOf(letters uint32) protocol.Kind {
	switch letters {
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
