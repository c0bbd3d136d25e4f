package inspect

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// Tracer makes spans. Its methods are called one at a time and must not block.
// None is called after [Inspector.Configure] has returned that put another in
// its place, nor after [Inspector.Run] has.
type Tracer interface {
	// Pair makes the span of a pair, and returns its ids; none if it found no room
	// for one. It must keep neither p nor r. A nil link means that the pair had no
	// upstream connection.
	Pair(p *proxy.Pair, r *Record, start, end time.Time, link *Link) protocol.TraceContext
	// Close tells that the upstream connection of a link ended. It is called once
	// for each link that a pair used.
	Close(link *Link, at time.Time)
}

// Link is one upstream connection of one session.
type Link struct {
	// Since is when the connection was there.
	Since time.Time
	// Server is the upstream's address as configured, Peer the one that was
	// reached, Client that of the session's client.
	Server, Peer, Client string
	// Handle belongs to the Tracer.
	Handle any
}

// connection is what a session tells the inspector of its upstream connection.
// The session makes it for the first pair that is looked at.
type connection struct {
	endpoint string
	remote   net.Addr
	since    time.Duration
	ended    atomic.Int64 // a time.Duration, zero while it lasts
	link     *Link        // made by Run when it is needed
}

// end notes when the connection ended. All pairs that used it must have been
// queued before.
func (c *connection) end(at time.Duration) { c.ended.Store(int64(max(at, 1))) }

// tracing is what is known to the tracer. Inspector.tracing.mu guards it.
type tracing struct {
	tracer Tracer // nil: no spans are made
	linked map[*connection]struct{}
}

// replace puts another tracer in its place, and tells the old one that its
// links are over.
func (t *tracing) replace(tracer Tracer, at time.Time) {
	for c := range t.linked {
		t.tracer.Close(c.link, at)
		c.link = nil
	}
	t.tracer, t.linked = tracer, make(map[*connection]struct{})
}

// close tells the tracer of the end of a connection.
func (t *tracing) close(c *connection, at time.Time) {
	if _, ok := t.linked[c]; ok {
		delete(t.linked, c)
		t.tracer.Close(c.link, at)
		c.link = nil
	}
}

// ended returns the connections that the tracer knows and that have ended.
func (t *tracing) ended() (all []*connection) {
	for c := range t.linked {
		if c.ended.Load() != 0 {
			all = append(all, c)
		}
	}
	return all
}
