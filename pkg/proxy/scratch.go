package proxy

import (
	"net"
	"sync"
)

// bufferSize is how much is read at once. Larger messages cost fewer system
// calls with larger buffers; only as many exist as there are connections with
// something to read at the same moment.
const bufferSize = 64 << 10

// scratch is what handling one read needs. It is borrowed when bytes are there
// and given back when they are passed on, so an idle connection holds none.
type scratch struct {
	buf   []byte
	batch Batch
}

var scratches = sync.Pool{New: func() any { return &scratch{buf: make([]byte, bufferSize)} }}

func newScratch() *scratch { return scratches.Get().(*scratch) }

// release gives s back. A nil s is nothing to give back.
func (s *scratch) release() {
	if s == nil {
		return
	}
	s.reset()
	scratches.Put(s)
}

// reset makes s ready for the next read.
func (s *scratch) reset() {
	// What it points to must not be kept alive.
	clear(s.batch.Pairs)
	clear(s.batch.Violations)
	s.batch = Batch{Latencies: s.batch.Latencies[:0], Pairs: s.batch.Pairs[:0], Violations: s.batch.Violations[:0]}
}

// write writes the parts in their order.
func write(conn net.Conn, parts [3][]byte) error {
	for _, part := range parts {
		if len(part) == 0 {
			continue
		}
		if _, err := conn.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// closeWrite tells the peer that there is no more to come. Connections that
// can't be half closed are left as they are.
func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() //nolint:errcheck // A broken connection is noticed by its reader.
	}
}
