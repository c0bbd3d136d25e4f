//go:build unix

package proxy

import (
	"errors"
	"io"
	"syscall"
)

// useRaw makes r read through the connection's descriptor, if it has one.
func (r *reader) useRaw() {
	conn, ok := r.conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return // the connection is closed already, which Read will tell
	}
	r.raw = raw
	r.try = r.tryRead
}

// tryRead reads what is there. It returns false if there is nothing yet; the
// runtime then calls it again when there may be.
func (r *reader) tryRead(fd uintptr) bool {
	r.s = newScratch()
	for {
		r.n, r.err = syscall.Read(int(fd), r.s.buf)
		switch {
		case errors.Is(r.err, syscall.EINTR):
			continue
		case errors.Is(r.err, syscall.EAGAIN):
			r.s.release()
			r.s = nil
			return false
		case r.err != nil:
			r.n = 0
		case r.n == 0:
			r.err = io.EOF
		}
		return true
	}
}
