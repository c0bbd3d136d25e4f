package proxy

import (
	"net"
	"syscall"
)

// reader reads one connection, and borrows a scratch only once there is
// something to read, where the system allows that.
type reader struct {
	conn net.Conn
	raw  syscall.RawConn // nil where reading has to wait with a buffer in hand
	try  func(fd uintptr) bool

	// What the last try brought.
	s   *scratch
	n   int
	err error
}

func newReader(conn net.Conn) *reader {
	r := &reader{conn: conn}
	r.useRaw()
	return r
}

// read waits for bytes and returns a scratch that holds n of them. The caller
// releases the scratch, which is nil if there is none. The end of the
// connection is io.EOF.
func (r *reader) read() (s *scratch, n int, err error) {
	if r.raw == nil {
		s = newScratch()
		n, err = r.conn.Read(s.buf)
		return s, n, err
	}
	if err := r.raw.Read(r.try); err != nil {
		return nil, 0, err
	}
	s, r.s = r.s, nil
	return s, r.n, r.err
}
