package proxy

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// readsPerTurn bounds how often a session reads before it is the others' turn.
const readsPerTurn = 8

// looped drives one session on an event loop, whose mu guards all of it.
//
// It never waits. What a socket does not take at once is kept in its side, and
// the other side is not read until it is gone; so a session keeps no more than
// what one read brought.
type looped struct {
	listener *Listener
	loop     *loop
	observer Observer
	session  *Session
	sides    [NumSides]side
	link     *Connection // the last upstream connection, nil if there was none
	released func()      // to be called when the upstream's socket is closed, or nil
	ended    func()      // to be called when the session has ended

	closed      bool
	flush       bool // answers of the session's own wait until the client has taken what is before them
	endClient   bool // and so does the end
	endUpstream bool // the upstream is to be told the end after what it has to take

	cancel context.CancelFunc // of the dial, nil if there is none
	linger *time.Timer
	idle   time.Duration
	idler  *time.Timer
}

// side is one of the two sockets of a session.
type side struct {
	session *looped
	which   Side
	fd      int   // -1: there is none
	serial  int32 // of its registration with the loop
	ready   bool  // there may be something to read
	more    bool  // there may be more behind a short read, see behind
	ended   bool  // the end was read
	broken  bool  // it can't be written
	unsent  *unsent
}

// newDriver returns what carries a session with a client: an event loop, where
// both sides are sockets.
func (l *Listener) newDriver(conn net.Conn, s *Settings, observer Observer, ended func()) driver {
	if dialer, ok := s.Upstream.(SocketDialer); ok && dialer.DialsSockets() && !l.options.Goroutines {
		if on := l.loops.get(l); on != nil {
			if fd, err := takeSocket(conn); err == nil {
				return newLooped(l, on, fd, s, observer, ended)
			}
		}
	}
	return newRelay(l, conn, s, observer, ended)
}

func newLooped(l *Listener, on *loop, client int, s *Settings, observer Observer, ended func()) *looped {
	r := &looped{
		listener: l, loop: on, observer: observer, idle: s.IdleTimeout, ended: ended,
		session: NewSession(l.options.Protocol, &s.Policy),
	}
	r.sides[Client] = side{session: r, which: Client, fd: client}
	r.sides[Upstream] = side{session: r, which: Upstream, fd: -1}
	return r
}

// start implements driver.
func (r *looped) start(orders Orders) {
	r.enter(func() {
		if r.idle > 0 {
			r.idler = time.AfterFunc(r.idle, r.checkIdle)
		}
		if err := r.loop.add(&r.sides[Client]); err != nil {
			r.listener.trouble(err, "cannot carry a session")
			orders = r.tell((*Session).ClientLost)
		}
		r.obey(orders)
	})
}

// enter does something to the session from outside the loop.
func (r *looped) enter(do func()) {
	r.loop.mu.Lock()
	defer r.loop.mu.Unlock()
	if !r.closed {
		do()
		r.read()
	}
}

// begin implements driver. The loop does not know the session yet.
func (r *looped) begin() Orders { return r.report(new(Batch), (*Session).Start) }

// tell reports an event without bytes to the session and to the observer.
func (r *looped) tell(event func(*Session, *Batch) Orders) Orders {
	defer r.loop.scratch.reset()
	return r.report(&r.loop.scratch.batch, event)
}

func (r *looped) report(b *Batch, event func(*Session, *Batch) Orders) Orders {
	b.At, b.Interest = r.listener.options.Now(), r.observer.Interest()
	orders := event(r.session, b)
	b.Upstream = r.link
	r.observer.Observe(b)
	return orders
}

// event handles what the kernel reports of a socket.
func (r *looped) event(s *side, what uint32) {
	if what&unix.EPOLLOUT != 0 && s.unsent != nil {
		r.resume(s)
	}
	if what&(unix.EPOLLIN|behind) != 0 {
		s.ready = true
	}
	if what&behind != 0 {
		s.more = true
	}
	r.read()
}

// read reads both sides, as far as they are ready and wanted.
func (r *looped) read() {
	for reads := 0; ; {
		some := false
		for i := range r.sides {
			s := &r.sides[i]
			if !r.wanted(s) {
				continue
			}
			if reads == readsPerTurn {
				r.loop.again(s)
				continue
			}
			reads++
			some = true
			r.readOnce(s)
		}
		if !some {
			return
		}
	}
}

// wanted reports whether a side can be read and may be: what it brings has to
// find its place on the other side.
func (r *looped) wanted(s *side) bool {
	if r.closed || !s.ready || s.ended {
		return false
	}
	if s.which == Upstream {
		return r.sides[Client].unsent == nil
	}
	to := &r.sides[Upstream]
	return r.session.WantsClient() && to.unsent == nil && !to.broken
}

// readOnce reads a side once, and passes on what it brings.
func (r *looped) readOnce(s *side) {
	in := r.loop.scratch
	n, err := receive(s.fd, in.buf)
	switch {
	case errors.Is(err, unix.EINTR):
	case errors.Is(err, unix.EAGAIN):
		s.ready = false
	case err != nil || n == 0:
		s.ready = false
		r.readEnd(s, err)
	default:
		// After a short read there is no more, unless an event said so already:
		// whatever comes later makes another event.
		s.ready = n == len(in.buf) || s.more
		r.pass(s, in, n)
	}
}

// pass passes on n bytes that came from a side.
func (r *looped) pass(from *side, in *scratch, n int) {
	b := &in.batch
	b.At, b.Interest, b.Upstream = r.listener.options.Now(), r.observer.Interest(), r.link
	tell, to := (*Session).ClientBytes, &r.sides[Upstream]
	if from.which == Upstream {
		tell, to = (*Session).UpstreamBytes, &r.sides[Client]
	}
	orders := tell(r.session, in.buf[:n], b)
	r.observer.Observe(b)
	in.reset()
	for _, part := range orders.Pass {
		r.write(to, part)
	}
	r.obey(orders)
}

// readEnd handles the end of what a side has to say.
func (r *looped) readEnd(s *side, err error) {
	switch {
	case s.which == Upstream && err == nil:
		r.upstreamLost(upstreamEnded)
		if s.ended && s.broken { // so nothing can go the other way
			r.upstreamLost(upstreamBroken)
		}
	case s.which == Upstream:
		r.upstreamLost(upstreamBroken)
	case err == nil:
		s.ended = true
		r.obey(r.tell((*Session).ClientEnded))
	default:
		s.ended = true
		r.obey(r.tell((*Session).ClientLost))
	}
}

// upstreamLost handles the end of the upstream connection.
func (r *looped) upstreamLost(event func(*Session, *Batch) Orders) {
	r.obey(r.tell(func(s *Session, out *Batch) Orders {
		orders := event(s, out)
		if s.upstreamDone() {
			r.sides[Upstream].ended = true
		} else {
			r.closeUpstream()
			r.link.Ended = out.At
		}
		return orders
	}))
}

// write writes to a side, and keeps what it does not take.
func (r *looped) write(s *side, b []byte) {
	if len(b) == 0 || s.fd < 0 || s.broken {
		return
	}
	if s.unsent == nil {
		n, err := send(s.fd, b)
		if err != nil {
			r.writeFailed(s)
			return
		}
		b = b[n:]
		if len(b) == 0 {
			return
		}
		s.unsent = unsentBytes.Get().(*unsent)
	}
	s.unsent.bytes = append(s.unsent.bytes, b...)
}

// resume writes what a side has not taken yet, now that it may.
func (r *looped) resume(s *side) {
	n, err := send(s.fd, s.unsent.rest())
	if err != nil {
		r.writeFailed(s)
		return
	}
	if !s.unsent.sent(n) {
		return
	}
	s.forget()
	switch {
	case s.which == Upstream && r.endUpstream:
		unix.Shutdown(s.fd, unix.SHUT_WR) //nolint:errcheck // A broken connection shows when it is read.
	case s.which == Client && (r.flush || r.endClient):
		r.toClient(r.endClient)
	}
}

// writeFailed handles a side that can't be written any more. Answers of the
// upstream may still be on their way, so its loss is known only when its end
// was read; what the client sends meanwhile waits for that.
func (r *looped) writeFailed(s *side) {
	s.broken = true
	s.forget()
	switch {
	case s.which == Client:
		r.obey(r.tell((*Session).ClientLost))
	case s.ended:
		r.upstreamLost(upstreamBroken)
	default:
		s.ready, s.more = true, true
	}
}
