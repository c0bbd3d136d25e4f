package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// lingerTime is how long a client that was told the end may take to end its
// side.
const lingerTime = time.Second

// relay drives one session with two goroutines: one reads the client, one
// dials and reads the upstream. It works on every system and for every
// net.Conn.
//
// Locks are taken in this order: a turn, then mu. A goroutine that wants to
// write to a side takes that side's turn before it asks the session, and gives
// it back when the bytes are written; so bytes arrive in the order in which
// the session let them pass, and a side that does not read stops whoever has
// something for it.
type relay struct {
	client   net.Conn
	dial     func(context.Context) (net.Conn, error)
	now      func() time.Duration
	observer Observer
	idle     time.Duration
	ended    func() // to be called when the session has ended

	turns [NumSides]sync.Mutex // see above

	mu       sync.Mutex // guards the fields below; nothing blocks under it
	session  *Session
	upstream net.Conn    // nil while there is none
	dialed   int         // upstream connections so far, the present one included
	link     *Connection // the last of them, nil if there was none
	wake     *sync.Cond  // of mu; signals a change that may let the client be read
	closed   bool
	linger   *time.Timer
	idler    *time.Timer

	ctx    context.Context // of dialing and pauses
	cancel context.CancelFunc
}

func newRelay(l *Listener, conn net.Conn, s *Settings, observer Observer, ended func()) *relay {
	r := &relay{
		client: conn, dial: l.dial, now: l.options.Now, observer: observer, idle: s.IdleTimeout, ended: ended,
		session: NewSession(l.options.Protocol, &s.Policy),
	}
	r.wake = sync.NewCond(&r.mu)
	r.ctx, r.cancel = context.WithCancel(l.ctx)
	return r
}

// begin implements driver.
func (r *relay) begin() Orders { return r.tell((*Session).Start) }

// start implements driver.
func (r *relay) start(orders Orders) {
	if r.idle > 0 {
		r.mu.Lock()
		r.idler = time.AfterFunc(r.idle, r.checkIdle)
		r.mu.Unlock()
	}
	go func() {
		defer r.ended()
		defer r.close()
		var client sync.WaitGroup
		client.Go(r.pumpClient)
		r.pumpUpstream(orders)
		client.Wait()
	}()
}

// tell reports an event without bytes to the session and to the observer.
func (r *relay) tell(event func(*Session, *Batch) Orders) Orders {
	b := new(Batch)
	r.mu.Lock()
	defer r.mu.Unlock()
	b.At, b.Interest = r.now(), r.observer.Interest()
	orders := event(r.session, b)
	b.Upstream = r.link
	r.observer.Observe(b)
	r.wake.Broadcast()
	return orders
}

// pumpClient reads the client until it has nothing more to say.
func (r *relay) pumpClient() {
	in := newReader(r.client)
	for r.clientWanted() {
		s, n, err := in.read()
		if n > 0 && !r.fromClient(s, n) {
			err = nil // the session has ended, and with it this loop
		}
		s.release()
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			r.obey(r.tell((*Session).ClientEnded))
			return
		default:
			r.obey(r.tell((*Session).ClientLost))
			return
		}
	}
}

// clientWanted waits until the client is to be read. It returns false when
// that will not be any more.
func (r *relay) clientWanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed && !r.session.WantsClient() {
		r.wake.Wait()
	}
	return !r.closed
}

// fromClient passes on n bytes that the client sent. It returns false if the
// session has ended.
func (r *relay) fromClient(s *scratch, n int) bool {
	r.turns[Upstream].Lock()
	r.mu.Lock()
	// If the upstream was lost while these bytes were being read, they wait for
	// what comes of that.
	for !r.closed && r.session.dialing() {
		r.wake.Wait()
	}
	s.batch.At, s.batch.Interest, s.batch.Upstream = r.now(), r.observer.Interest(), r.link
	orders := r.session.ClientBytes(s.buf[:n], &s.batch)
	r.observer.Observe(&s.batch)
	upstream, dialed, closed := r.upstream, r.dialed, r.closed
	r.mu.Unlock()
	err := write(upstream, orders.Pass)
	r.turns[Upstream].Unlock()
	if err != nil {
		r.writeFailed(dialed)
	}
	r.obey(orders)
	return !closed
}

// writeFailed handles an upstream connection, given by its number, that can't
// be written any more. Answers may still be on their way, so the goroutine that
// reads them is the one to report the loss; what the client sends meanwhile
// waits for that.
func (r *relay) writeFailed(dialed int) {
	r.mu.Lock()
	for !r.closed && r.upstream != nil && r.dialed == dialed && !r.session.upstreamDone() {
		r.wake.Wait()
	}
	done := r.session.upstreamDone() // that goroutine has ended
	r.mu.Unlock()
	if done {
		r.obey(r.tell(upstreamBroken))
	}
}

func upstreamBroken(s *Session, out *Batch) Orders { return s.UpstreamLost(false, out) }
func upstreamEnded(s *Session, out *Batch) Orders  { return s.UpstreamLost(true, out) }

// pumpUpstream dials as the session orders, and reads the upstream, until the
// session needs no upstream any more.
func (r *relay) pumpUpstream(orders Orders) {
	for orders.Dial {
		conn, err := reach(r.ctx, r.dial, orders)
		if err != nil {
			orders = r.tell((*Session).DialFailed)
			r.obey(orders)
			continue
		}
		r.obey(r.tell(func(s *Session, out *Batch) Orders {
			r.upstream = conn
			r.dialed++
			r.link = newConnection(conn)
			r.link.Since = out.At
			return s.Connected(out)
		}))
		orders = r.readUpstream(conn)
		r.obey(orders)
	}
}

// readUpstream passes on what the upstream sends, until its connection ends.
func (r *relay) readUpstream(upstream net.Conn) Orders {
	in := newReader(upstream)
	for {
		s, n, err := in.read()
		if n > 0 {
			r.fromUpstream(s, n)
		}
		s.release()
		if err == nil {
			continue
		}
		event := upstreamBroken
		if errors.Is(err, io.EOF) {
			event = upstreamEnded
		}
		return r.tell(func(s *Session, out *Batch) Orders {
			orders := event(s, out)
			if !s.upstreamDone() {
				r.upstream = nil
				upstream.Close()
				r.link.Ended = out.At
			}
			return orders
		})
	}
}

// fromUpstream passes on n bytes that the upstream sent.
func (r *relay) fromUpstream(s *scratch, n int) {
	r.turns[Client].Lock()
	r.mu.Lock()
	s.batch.At, s.batch.Interest, s.batch.Upstream = r.now(), r.observer.Interest(), r.link
	orders := r.session.UpstreamBytes(s.buf[:n], &s.batch)
	r.observer.Observe(&s.batch)
	r.wake.Broadcast() // answers of the session's own may have found their place
	r.mu.Unlock()
	err := write(r.client, orders.Pass)
	r.turns[Client].Unlock()
	if err != nil {
		orders = r.tell((*Session).ClientLost)
	}
	r.obey(orders)
}

// obey does what the session ordered, except passing bytes and dialing.
func (r *relay) obey(o Orders) {
	if o.Close { // first, because what follows may wait for a peer
		r.close()
	}
	if o.Linger {
		r.mu.Lock()
		switch {
		case r.closed:
		case r.linger == nil:
			r.linger = time.AfterFunc(lingerTime, r.cut)
		default:
			r.linger.Reset(lingerTime)
		}
		r.mu.Unlock()
	}
	if o.Flush || o.EndClient {
		r.toClient(o.EndClient)
	}
	if o.EndClient {
		r.obey(r.tell((*Session).ClientTold))
	}
	if o.EndUpstream {
		r.endUpstream()
	}
	if o.DropUpstream {
		r.mu.Lock()
		if r.upstream != nil {
			r.upstream.Close()
			r.upstream = nil
		}
		r.mu.Unlock()
	}
}

// toClient sends the session's own answers, and the end of them all if end is
// set.
func (r *relay) toClient(end bool) {
	r.turns[Client].Lock()
	defer r.turns[Client].Unlock()
	r.mu.Lock()
	reply := r.session.TakeReply()
	r.wake.Broadcast()
	r.mu.Unlock()
	if len(reply) > 0 {
		// A client that is gone is noticed by the goroutine that reads it.
		r.client.Write(reply) //nolint:errcheck // See above.
	}
	if end {
		closeWrite(r.client)
	}
}

// endUpstream tells the upstream that there is no more to come.
func (r *relay) endUpstream() {
	r.turns[Upstream].Lock()
	defer r.turns[Upstream].Unlock()
	r.mu.Lock()
	upstream := r.upstream
	r.mu.Unlock()
	if upstream != nil {
		closeWrite(upstream)
	}
}

// close closes both connections and ends both goroutines.
func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, t := range []*time.Timer{r.linger, r.idler} {
		if t != nil {
			t.Stop()
		}
	}
	r.client.Close()
	if r.upstream != nil {
		r.upstream.Close()
	}
	r.cancel()
	r.wake.Broadcast()
}

// drain implements driver.
func (r *relay) drain() { r.obey(r.tell((*Session).Drain)) }

// oldest implements driver.
func (r *relay) oldest() (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session.Oldest()
}

// cut implements driver.
func (r *relay) cut() { r.obey(r.tell((*Session).Cut)) }

// checkIdle ends the session if it is idle, or looks again when it may be.
func (r *relay) checkIdle() {
	var again time.Duration
	orders := r.tell(func(s *Session, out *Batch) (o Orders) {
		o, again = s.Idle(r.idle, out)
		return o
	})
	r.mu.Lock()
	if !r.closed && again > 0 {
		r.idler.Reset(again)
	}
	r.mu.Unlock()
	r.obey(orders)
}
