package proxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent is what a socket has not taken yet.
type unsent struct {
	bytes []byte
	from  int // what is before it was taken
}

var unsentBytes = sync.Pool{New: func() any { return new(unsent) }}

func (u *unsent) rest() []byte { return u.bytes[u.from:] }

// sent notes that n bytes more were taken, and reports whether these were all.
func (u *unsent) sent(n int) bool {
	u.from += n
	return u.from == len(u.bytes)
}

// forget gives back what a side has not taken.
func (s *side) forget() {
	if s.unsent == nil {
		return
	}
	s.unsent.bytes, s.unsent.from = s.unsent.bytes[:0], 0
	unsentBytes.Put(s.unsent)
	s.unsent = nil
}

// send writes as much as the socket takes.
func send(fd int, b []byte) (n int, err error) {
	for n < len(b) {
		m, err := transmit(fd, b[n:])
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return n, nil
		case err != nil:
			return n, err
		}
		n += max(m, 0)
	}
	return n, nil
}

// errNoSocket says that a connection is more than a socket.
var errNoSocket = errors.New("it is no plain socket")

// takeSocket takes the socket out of a connection, which is closed then. After an
// error the connection is as it was.
func takeSocket(conn net.Conn) (fd int, err error) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return -1, errNoSocket
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("use a connection's socket: %w", err)
	}
	// The runtime has registered the connection's own descriptor with its poller,
	// and would be woken for every event. It forgets it when that is closed.
	control := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(control, err); err != nil {
		return -1, fmt.Errorf("duplicate a connection's descriptor: %w", err)
	}
	conn.Close()
	return fd, nil
}

// detach takes the socket out of a connection that was dialed. Released is to be
// called when the socket is closed.
func detach(conn net.Conn) (fd int, released func(), err error) {
	if counted, ok := conn.(interface{ Detach() (net.Conn, func()) }); ok {
		conn, released = counted.Detach()
	}
	fd, err = takeSocket(conn)
	if err != nil {
		conn.Close()
		if released != nil {
			released()
		}
		return -1, nil, fmt.Errorf("take over a connection to %s: %w", conn.RemoteAddr(), err)
	}
	return fd, released, nil
}

// closeSocket closes a socket, if there is one, and calls released unless it is
// nil.
func closeSocket(fd int, released func()) {
	if fd < 0 {
		return
	}
	unix.Close(fd) //nolint:errcheck // It is of no more use.
	if released != nil {
		released()
	}
}
