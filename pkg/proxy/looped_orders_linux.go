package proxy

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// obey does what the session ordered, except passing bytes.
func (r *looped) obey(o Orders) {
	if o.Close {
		r.close()
		return
	}
	if o.Linger {
		if r.linger == nil {
			r.linger = time.AfterFunc(lingerTime, r.cut)
		} else {
			r.linger.Reset(lingerTime)
		}
	}
	if o.Flush || o.EndClient {
		r.toClient(o.EndClient)
	}
	if r.closed {
		return
	}
	if o.EndUpstream {
		if up := &r.sides[Upstream]; up.unsent != nil {
			r.endUpstream = true
		} else if up.fd >= 0 {
			unix.Shutdown(up.fd, unix.SHUT_WR) //nolint:errcheck // A broken connection shows when it is read.
		}
	}
	if o.DropUpstream {
		r.closeUpstream()
	}
	if o.Dial {
		r.dial(o)
	}
}

// toClient sends the session's own answers, and the end of them all if end is
// set now or was set before, after what the client has to take before.
func (r *looped) toClient(end bool) {
	s := &r.sides[Client]
	r.endClient = r.endClient || end
	if s.unsent == nil {
		r.write(s, r.session.TakeReply())
		r.flush = false
	} else {
		r.flush = true
	}
	if !r.endClient || s.unsent != nil || r.closed {
		return
	}
	r.endClient = false
	unix.Shutdown(s.fd, unix.SHUT_WR) //nolint:errcheck // A broken connection shows when it is read.
	r.obey(r.tell((*Session).ClientTold))
}

// dial connects to the upstream in a goroutine of its own.
func (r *looped) dial(o Orders) {
	l := r.listener
	ctx, cancel := context.WithCancel(l.ctx)
	r.cancel = cancel
	l.running.Go(func() {
		defer cancel()
		conn, err := reach(ctx, l.dial, o)
		fd, link, released := -1, (*Connection)(nil), func() {}
		if err == nil {
			link = newConnection(conn)
			if fd, released, err = detach(conn); err != nil {
				l.trouble(err, "cannot use an upstream connection")
			}
		}
		r.loop.mu.Lock()
		defer r.loop.mu.Unlock()
		if r.closed {
			closeSocket(fd, released)
			return
		}
		r.cancel = nil
		r.dialed(fd, link, released, err)
		r.read()
	})
}

// dialed tells the session what came of a dial.
func (r *looped) dialed(fd int, link *Connection, released func(), err error) {
	if err == nil {
		r.sides[Upstream] = side{session: r, which: Upstream, fd: fd}
		r.released, r.endUpstream = released, false
		if err = r.loop.add(&r.sides[Upstream]); err != nil {
			r.listener.trouble(err, "cannot use an upstream connection")
			r.closeUpstream()
		}
	}
	if err != nil {
		r.obey(r.tell((*Session).DialFailed))
		return
	}
	r.obey(r.tell(func(s *Session, out *Batch) Orders {
		r.link, link.Since = link, out.At
		return s.Connected(out)
	}))
}

// closeUpstream closes the upstream's socket, if there is one.
func (r *looped) closeUpstream() {
	s := &r.sides[Upstream]
	if s.fd < 0 {
		return
	}
	s.forget()
	r.loop.remove(s)
	closeSocket(s.fd, r.released)
	s.fd, s.ready, s.broken, r.released = -1, false, false, nil
}

// close closes both connections. Nothing happens to the session any more.
func (r *looped) close() {
	r.closed = true
	for _, t := range []*time.Timer{r.linger, r.idler} {
		if t != nil {
			t.Stop()
		}
	}
	if r.cancel != nil {
		r.cancel()
	}
	r.closeUpstream()
	s := &r.sides[Client]
	s.forget()
	r.loop.remove(s)
	closeSocket(s.fd, nil)
	r.ended()
}

// drain implements driver.
func (r *looped) drain() { r.enter(func() { r.obey(r.tell((*Session).Drain)) }) }

// cut implements driver.
func (r *looped) cut() { r.enter(func() { r.obey(r.tell((*Session).Cut)) }) }

// oldest implements driver.
func (r *looped) oldest() (time.Duration, bool) {
	r.loop.mu.Lock()
	defer r.loop.mu.Unlock()
	return r.session.Oldest()
}

// checkIdle ends the session if it is idle, or looks again when it may be.
func (r *looped) checkIdle() {
	r.enter(func() {
		var again time.Duration
		r.obey(r.tell(func(s *Session, out *Batch) (o Orders) {
			o, again = s.Idle(r.idle, out)
			return o
		}))
		if !r.closed && again > 0 {
			r.idler.Reset(again)
		}
	})
}
