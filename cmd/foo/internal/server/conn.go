package server

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
)

// flushSize is how many bytes of answers are collected for one write, at most
// one answer more.
const flushSize = 64 << 10

// padding fills the Data of answers that are longer than their request's.
var padding = bytes.Repeat([]byte{'.'}, 1<<10)

// conn is one connection.
type conn struct {
	server *Server
	nc     net.Conn
	in     *wire.Reader
	random *rand.Rand
	sized  []byte // scratch for Data of another length than the request's
}

// batch is what is written, and counted, in one go.
type batch struct {
	buf   []byte
	stats Stats
}

// serve answers until the client is done or ctx ends, and closes the
// connection.
func (c *conn) serve(ctx context.Context) {
	defer func() { _ = c.nc.Close() }()
	c.server.count(Stats{Connections: 1})
	defer context.AfterFunc(ctx, func() {
		now := time.Now()
		_ = c.nc.SetReadDeadline(now)
		_ = c.nc.SetWriteDeadline(now.Add(c.server.opts.Delay + c.server.opts.DelaySpread + stopTimeout))
	})()
	if c.server.opts.late() {
		c.answerLate()
	} else {
		c.answerAtOnce()
	}
	if ctx.Err() != nil {
		c.linger()
	}
}

// linger lets the client take the last answers: closing with requests unread
// would take the answers back that are under way.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, c.nc)
}

// answerAtOnce answers what a read brought with one write, until there is
// nothing more to read or the client takes no more.
func (c *conn) answerAtOnce() {
	var b batch
	for {
		readErr := c.in.Fill()
		for m, ok := c.in.Next(); ok; m, ok = c.in.Next() {
			b.stats.received(m.Kind)
			var kind protocol.Kind
			b.buf, kind = c.appendAnswer(b.buf, m)
			b.stats.answered(kind)
			if len(b.buf) >= flushSize && c.flush(&b) != nil {
				return
			}
		}
		if c.flush(&b) != nil || readErr != nil {
			return
		}
	}
}

// flush writes a batch, counts it and makes it empty. Answers of a write that
// failed do not count.
func (c *conn) flush(b *batch) (err error) {
	if len(b.buf) > 0 {
		if _, err = c.nc.Write(b.buf); err != nil {
			b.stats.ACKs, b.stats.NAKs, b.stats.Undecodable = 0, 0, 0
		}
	}
	c.server.count(b.stats)
	b.buf, b.stats = b.buf[:0], Stats{}
	return err
}

// appendAnswer appends the answer to a message and returns its kind as
// [Stats.answered] wants it, zero if there is no answer to it.
func (c *conn) appendAnswer(dst []byte, m wire.Message) ([]byte, protocol.Kind) {
	switch m.Kind {
	case protocol.Request:
		kind := protocol.Positive
		if share := c.server.opts.NAK; share > 0 && c.random.Float64() < share {
			kind = protocol.Negative
		}
		return foo.Append(dst, kind, m.ID, c.resize(m.Data)), kind
	case protocol.Malformed:
		return foo.Protocol{}.AppendUndecodable(dst), protocol.Malformed
	}
	return dst, 0
}

// resize cuts or pads data to the size of responses.
func (c *conn) resize(data []byte) []byte {
	size := c.server.opts.ResponseSize
	if size == 0 {
		return data
	}
	if len(data) >= size {
		return data[:size]
	}
	c.sized = append(c.sized[:0], data...)
	for len(c.sized) < size {
		c.sized = append(c.sized, padding[:min(len(padding), size-len(c.sized))]...)
	}
	return c.sized
}
