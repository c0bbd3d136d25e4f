package foo

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// text watches the bytes of a line for what Foo's text should not have: bytes
// that are no UTF-8, and a carriage return before the newline.
//
// Nearly all text is ASCII, and whether bytes are is known at once for many
// lines: of what is read together, the stretch up to the first other byte is
// measured once, at the speed of the memory.
type text struct {
	ascii   int     // bytes ahead that are known to be ASCII
	invalid bool    // something was no UTF-8
	cr      bool    // the last byte, or the one before the newline, is one
	partial [3]byte // start of a character that goes on
	pending uint8   // how many of these
}

// look moves over the first n bytes of b, which belong to one line. The rest of
// b is what follows on the wire.
func (t *text) look(b []byte, n int) {
	if n == 0 {
		return
	}
	if t.ascii < n {
		t.measure(b, n)
	}
	t.ascii -= min(t.ascii, n)
	switch last := n - 1; {
	case b[last] != '\n':
		t.cr = b[last] == '\r'
	case last > 0:
		t.cr = b[last-1] == '\r'
	}
}

// measure looks how far b is ASCII, and where the first n bytes are not, whether
// they are UTF-8.
func (t *text) measure(b []byte, n int) {
	t.ascii += asciiPrefix(b[t.ascii:])
	if t.ascii >= n && t.pending == 0 {
		return
	}
	t.check(b[:n])
}

// check validates b as the continuation of what is pending.
func (t *text) check(b []byte) {
	if t.pending > 0 {
		var joined [utf8.UTFMax + 3]byte
		have := copy(joined[:], t.partial[:t.pending])
		have += copy(joined[have:have+min(len(b), utf8.UTFMax)], b)
		if !utf8.FullRune(joined[:have]) {
			t.pending = uint8(copy(t.partial[:], joined[:have]))
			return
		}
		r, size := utf8.DecodeRune(joined[:have])
		if r == utf8.RuneError && size == 1 {
			t.invalid = true
			size = int(t.pending) // none of these can begin anything valid
		}
		b = b[size-int(t.pending):]
		t.pending = 0
	}
	// What may be the start of a character at the end is left for the next bytes.
	cut := len(b)
	for i := len(b) - 1; i >= 0 && i >= len(b)-3; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				cut = i
			}
			break
		}
	}
	t.invalid = t.invalid || !utf8.Valid(b[:cut])
	t.pending = uint8(copy(t.partial[:], b[cut:]))
}

// quirks returns what was found in a line that has ended.
func (t *text) quirks() (q protocol.Quirks) {
	if t.invalid || t.pending > 0 {
		q |= 1 << protocol.QuirkText
	}
	if t.cr {
		q |= 1 << protocol.QuirkCRLF
	}
	return q
}

// asciiPrefix returns how many bytes of b are ASCII before the first that is
// not; it may stop up to 63 bytes early there.
func asciiPrefix(b []byte) (n int) {
	const high = 0x8080808080808080
	for ; len(b) >= 64; b = b[64:] {
		x := binary.NativeEndian.Uint64(b) | binary.NativeEndian.Uint64(b[8:]) |
			binary.NativeEndian.Uint64(b[16:]) | binary.NativeEndian.Uint64(b[24:]) |
			binary.NativeEndian.Uint64(b[32:]) | binary.NativeEndian.Uint64(b[40:]) |
			binary.NativeEndian.Uint64(b[48:]) | binary.NativeEndian.Uint64(b[56:])
		if x&high != 0 {
			break
		}
		n += 64
	}
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint64(b)&high != 0 {
			break
		}
		n += 8
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			break
		}
		n++
	}
	return n
}
