package server

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// maxWaiting bounds the answers of one connection that wait until they are
// due. With so many no more requests are read.
const maxWaiting = 1 << 16

// answerLate reads requests and lets a goroutine write their answers when they
// are due. It returns when all are written, or the client takes no more.
func (c *conn) answerLate() {
	q := newQueue()
	if c.server.opts.OutOfOrder {
		q.shuffle = rand.New(rand.NewPCG(c.random.Uint64(), c.random.Uint64())) //nolint:gosec // repeatable on purpose
	}
	var writer sync.WaitGroup
	writer.Go(func() { c.writeLate(q) })
	defer writer.Wait()
	defer q.close()

	var received batch
	var line []byte
	for {
		readErr := c.in.Fill()
		now := time.Now()
		for m, ok := c.in.Next(); ok; m, ok = c.in.Next() {
			received.stats.received(m.Kind)
			var kind protocol.Kind
			if line, kind = c.appendAnswer(line[:0], m); kind != 0 {
				q.push(now.Add(c.delay()), line, kind)
			}
		}
		_ = c.flush(&received) // nothing to write, only to count
		if readErr != nil {
			return
		}
	}
}

// delay returns how long an answer is to be held back.
func (c *conn) delay() time.Duration {
	d, spread := c.server.opts.Delay, c.server.opts.DelaySpread
	if spread > 0 {
		d += time.Duration(c.random.Int64N(2*int64(spread)+1)) - spread
	}
	return d
}

// writeLate writes answers as they become due until the queue is closed and
// empty. If the client takes no more it closes the connection.
func (c *conn) writeLate(q *queue) {
	var b batch
	for q.takeDue(&b) {
		if c.flush(&b) != nil {
			_ = c.nc.Close() // so that the reader ends
			q.abandon()
			return
		}
	}
}

// queue holds the answers of one connection that are not due yet.
type queue struct {
	shuffle *rand.Rand // nil keeps the order; used by takeDue only

	mu        sync.Mutex // guards everything below
	changed   *sync.Cond // any field has changed, or the next answer is due
	timer     *time.Timer
	ring      []waiting // its length is a power of two
	head, n   int
	last      time.Time // when the newest is due
	closed    bool      // no more answers will come
	abandoned bool      // nobody takes answers any more
}

// waiting is an answer and when it is due. Lines keep their memory when they
// are taken, so that a steady state allocates nothing.
type waiting struct {
	due  time.Time
	line []byte
	kind protocol.Kind
}

func newQueue() *queue {
	q := &queue{ring: make([]waiting, 8)}
	q.changed = sync.NewCond(&q.mu)
	q.timer = time.AfterFunc(time.Hour, func() {
		q.mu.Lock() // so that it can't fall between a look at the clock and the wait
		defer q.mu.Unlock()
		q.changed.Broadcast()
	})
	return q
}

// push adds an answer, due not before the one pushed last. It waits while the
// queue is full.
func (q *queue) push(due time.Time, line []byte, kind protocol.Kind) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.n == maxWaiting && !q.abandoned {
		q.changed.Wait()
	}
	if q.abandoned {
		return
	}
	if q.n == len(q.ring) {
		q.grow()
	}
	if due.Before(q.last) {
		due = q.last
	}
	q.last = due
	w := q.at(q.n)
	w.due, w.line, w.kind = due, append(w.line[:0], line...), kind
	q.n++
	if q.n == 1 {
		q.changed.Broadcast()
	}
}

// takeDue waits until answers are due and moves them to b, those of any
// outstanding requests if there is a shuffle. It returns false when the queue
// is closed and empty.
func (q *queue) takeDue(b *batch) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		now := time.Now()
		for q.n > 0 && !q.at(0).due.After(now) && len(b.buf) < flushSize {
			q.pop(b)
		}
		if len(b.buf) > 0 {
			q.changed.Broadcast() // there is room
			return true
		}
		if q.n == 0 && q.closed {
			q.timer.Stop()
			return false
		}
		if q.n > 0 {
			q.timer.Reset(q.at(0).due.Sub(now))
		}
		q.changed.Wait()
	}
}

// pop moves one answer to b. q.mu must be held.
func (q *queue) pop(b *batch) {
	first := q.at(0)
	if q.shuffle != nil {
		other := q.at(q.shuffle.IntN(q.n))
		first.line, other.line = other.line, first.line
		first.kind, other.kind = other.kind, first.kind
	}
	b.buf = append(b.buf, first.line...)
	b.stats.answered(first.kind)
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
}

// at returns the i-th answer from the front. q.mu must be held.
func (q *queue) at(i int) *waiting { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

// grow doubles the ring. q.mu must be held.
func (q *queue) grow() {
	ring := make([]waiting, 2*len(q.ring))
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

// close says that no more answers will be pushed.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

// abandon says that no more answers will be taken.
func (q *queue) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.abandoned = true
	q.timer.Stop()
	q.changed.Broadcast()
}
