package inspect

import (
	"bytes"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// class is why a pair is chosen, the best reason first. Pairs of one class stand
// for each other.
type class uint8

const (
	classFailed class = iota
	classSlow
	classParent
	classSampled
	numClasses
)

// classOf returns the class of a pair, false if it is not chosen. A request of
// a trace that is not being recorded is not chosen by chance.
func classOf(p *proxy.Pair) (class, bool) {
	switch {
	case p.Why&proxy.WhyFailed != 0:
		return classFailed, true
	case p.Why&proxy.WhySlow != 0:
		return classSlow, true
	case p.Why&proxy.WhyParent != 0:
		return classParent, true
	case p.Why&proxy.WhySampled != 0:
		return classSampled, !p.Parent.Valid() || p.Parent.Sampled()
	}
	return 0, false
}

// floor returns how many of the tokens are kept for better classes.
func (c class) floor(perSecond int) int {
	return [numClasses]int{
		classSlow: perSecond / 4, classParent: perSecond / 4, classSampled: perSecond / 2,
	}[c]
}

// item is what a session puts into the queue.
type item struct {
	session    *session
	connection *connection // nil: there was none
	pair       proxy.Pair
	class      class
	stands     float64 // the number of pairs that it stands for; zero: it is only tapped
	violation  *violation
}

// violation, unless nil, makes an item that is no pair.
type violation struct {
	proxy.Violation
	at time.Duration
}

// session is the observer of one session.
type session struct {
	inspector *Inspector
	listener  string
	info      proxy.SessionInfo
	next      proxy.Observer

	// The fields below belong to Observe.
	upstream   *proxy.Connection // what connection was made of
	connection *connection       // nil until a pair needs it, and after its end
	ratio      float64           // the last one that was not zero
}

// Session returns the observer of a session of the given listener. It passes on
// all batches to next, and looks at what they report one by one.
func (i *Inspector) Session(listener string, info proxy.SessionInfo, next proxy.Observer) proxy.Observer {
	return &session{inspector: i, listener: listener, info: info, next: next, ratio: 1}
}

// Interest implements [proxy.Observer].
func (s *session) Interest() *proxy.Interest { return s.inspector.interest.Load() }

// Observe implements [proxy.Observer].
func (s *session) Observe(b *proxy.Batch) {
	s.next.Observe(b)
	if len(b.Pairs) > 0 {
		s.pairs(b)
	}
	if len(b.Violations) > 0 {
		s.violations(b)
	}
	if s.connection != nil {
		s.follow(b)
	}
}

// pairs queues the pairs that are chosen or watched, as far as there is room.
func (s *session) pairs(b *proxy.Batch) {
	if b.Interest != nil && b.Interest.Ratio > 0 {
		s.ratio = b.Interest.Ratio
	}
	i := s.inspector
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped {
		return
	}
	settings := i.settings.Load()
	for k := range b.Pairs {
		p := &b.Pairs[k]
		it := item{session: s}
		class, chosen := classOf(p)
		if chosen && (class < classParent || settings.ordinary()) {
			it.class, it.stands = class, i.admit(class, s.weight(class), b.At, settings)
		}
		if it.stands > 0 || i.tapped(p, b.At) {
			s.enqueue(&it, p, b)
		}
	}
	if b.Omitted > 0 {
		i.omit(s, b, settings)
	}
	i.missed(b)
}

// weight returns how many pairs one of a class stands for by itself.
func (s *session) weight(c class) float64 {
	if c == classSampled {
		return 1 / s.ratio
	}
	return 1
}

// enqueue puts a pair into the queue, or notes that there was no room.
// Inspector.mu must be held.
func (s *session) enqueue(it *item, p *proxy.Pair, b *proxy.Batch) {
	it.pair = *p
	it.pair.Request, it.pair.Answer = bytes.Clone(p.Request), bytes.Clone(p.Answer)
	it.connection = s.connectionOf(p, b)
	i := s.inspector
	select {
	case i.queue <- *it:
		return
	default:
	}
	if it.stands > 0 {
		i.owed[it.class] += it.stands
		if i.settings.Load().Tracer != nil {
			i.spans.Dropped.Queue++
		}
	}
	i.leaveOut(p)
}

// connectionOf returns the upstream connection that a pair of b used, or nil.
func (s *session) connectionOf(p *proxy.Pair, b *proxy.Batch) *connection {
	up := b.Upstream
	if up == nil || up.Ended != 0 && p.Start >= up.Ended {
		return nil
	}
	if s.connection != nil && s.upstream != up {
		s.connection.end(b.At)
		s.connection = nil
	}
	if s.connection == nil {
		s.upstream = up
		s.connection = &connection{endpoint: up.Endpoint, remote: up.Remote, since: up.Since}
	}
	return s.connection
}

// follow notes the end of the session's upstream connection.
func (s *session) follow(b *proxy.Batch) {
	over := b.Upstream != s.upstream || b.Closed != [proxy.NumCloseReasons]int64{}
	if !over && b.Upstream.Ended == 0 {
		return
	}
	at := b.At
	if !over {
		at = b.Upstream.Ended
	}
	s.connection.end(at)
	s.connection, s.upstream = nil, nil
}

// violations queues the violations, as far as there is room.
func (s *session) violations(b *proxy.Batch) {
	i := s.inspector
	i.mu.Lock()
	defer i.mu.Unlock()
	left := int64(0)
	for k := range b.Violations {
		v := &b.Violations[k]
		if i.stopped || !i.breaches[v.Kind].take(b.At, violationRate, violationBurst, 0) {
			left++
			continue
		}
		copied := &violation{Violation: *v, at: b.At}
		copied.Raw = bytes.Clone(v.Raw)
		select {
		case i.queue <- item{session: s, violation: copied}:
		default:
			left++
		}
	}
	if left > 0 {
		i.recorder.leftOut.Add(left)
	}
}
