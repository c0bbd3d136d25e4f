package load

import "bytes"

// tokenSize is the length of a token: 8 hexadecimal digits that identify the
// connection and 16 that are the Seq. Data that is shorter than that is all
// token: a third of its digits, rounded down, are the last ones of the
// connection's and the rest are the last ones of the Seq.
const tokenSize = 24

const hexDigits = "0123456789abcdef"

// token writes and recognises the tokens of one connection.
type token struct {
	connection [tokenSize]byte // its digits
	connDigits int
	seqDigits  int
}

// newToken returns the tokens of a connection for Data of the given size.
func newToken(connection uint32, size int) token {
	width := min(size, tokenSize)
	t := token{connDigits: width / 3}
	t.seqDigits = width - t.connDigits
	putHex(t.connection[:t.connDigits], uint64(connection))
	return t
}

// len returns the token's length.
func (t *token) len() int { return t.connDigits + t.seqDigits }

// put writes the token of a request to the beginning of its data.
func (t *token) put(data []byte, seq int64) {
	copy(data, t.connection[:t.connDigits])
	putHex(data[t.connDigits:t.len()], uint64(seq))
}

// begins reports whether data begins with the token of a request.
func (t *token) begins(data []byte, seq int64) bool {
	if len(data) < t.len() || !bytes.Equal(data[:t.connDigits], t.connection[:t.connDigits]) {
		return false
	}
	for i := t.len() - 1; i >= t.connDigits; i-- {
		if data[i] != hexDigits[seq&0xf] {
			return false
		}
		seq >>= 4
	}
	return true
}

// isToken reports whether data begins with what can only be a whole token, no
// matter whose.
func isToken(data []byte) bool {
	if len(data) < tokenSize {
		return false
	}
	for _, c := range data[:tokenSize] {
		if c-'0' > 9 && c-'a' > 5 {
			return false
		}
	}
	return true
}

// putHex fills dst with the last digits of v.
func putHex(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = hexDigits[v&0xf]
		v >>= 4
	}
}
