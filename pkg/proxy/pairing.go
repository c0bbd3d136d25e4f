package proxy

import (
	"math"
	"slices"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// maxOutstanding bounds how many requests of one session are remembered, so
// that a peer which never answers can't take all memory. Past it some are
// forgotten and counted, the oldest first where the Seqs ascend; their bytes
// are untouched.
const maxOutstanding = 1 << 17

// sent is what is remembered of an outstanding request.
type sent struct {
	at   time.Duration // when it ended; zero is a hole
	size int64
	note *note // nil for most
}

// note is what is remembered of a request besides, if somebody wants it.
type note struct {
	chosen       bool   // by chance, when it was passed on
	head         []byte // the message's first bytes
	parent, span protocol.TraceContext
}

// pairing remembers the outstanding requests of a session. Requests may share a
// Seq; the answers then belong to them in their order.
//
// Nearly every client counts its Seq up by one, so they are kept in a ring that
// is indexed by the distance from the oldest Seq, with a hole where an answer
// came early: 24 bytes a request, no search and no allocation in steady state.
// Any other Seq goes into a map.
//
// The zero value is ready to use and holds no memory.
type pairing struct {
	ring  []sent // power of two long
	head  int    // index of the oldest request
	span  int    // requests and holes from head on
	first int64  // Seq of the oldest request
	live  int    // requests in the ring

	// odd holds the requests that do not continue the ring, per Seq in the order
	// of their coming. A Seq that is in both places is older in the ring.
	odd     map[int64]sent
	more    map[int64][]sent // second and later requests of a Seq in odd
	oddLive int
}

// minRing is the size of a new ring, keptRing that of the largest one that a
// session keeps while nothing is outstanding.
const (
	minRing  = 4
	keptRing = 1024
)

// add remembers a request. It reports whether its Seq is outstanding already,
// and how many older requests it had to forget.
func (p *pairing) add(seq int64, r sent) (duplicate bool, forgotten int) {
	r.at = max(r.at, 1) // zero is a hole
	if seq-p.first == int64(p.span) && p.live > 0 && p.span < len(p.ring) && p.oddLive == 0 {
		// What nearly every client does; the rest is for the others.
		p.ring[(p.head+p.span)&(len(p.ring)-1)] = r
		p.span++
		p.live++
		return false, 0
	}
	if p.len() >= maxOutstanding {
		forgotten = p.forget()
	}
	if p.live == 0 {
		p.head, p.span, p.first = 0, 0, seq
	}
	if seq-p.first != int64(p.span) || p.isOdd(seq) {
		duplicate = p.inRing(seq) != nil || p.isOdd(seq)
		p.addOdd(seq, r)
		return duplicate, forgotten
	}
	if p.span == len(p.ring) {
		p.grow()
		if p.live == 0 { // everything was moved to odd
			p.head, p.span, p.first = 0, 0, seq
		}
	}
	p.ring[(p.head+p.span)&(len(p.ring)-1)] = r
	p.span++
	p.live++
	return false, forgotten
}

// take removes the oldest request with the given Seq and returns it.
func (p *pairing) take(seq int64) (r sent, ok bool) {
	if slot := p.inRing(seq); slot != nil {
		r = *slot
		slot.at, slot.note = 0, nil
		p.live--
		p.trim()
		return r, true
	}
	return p.takeOdd(seq)
}

// inRing returns the place of the request with the given Seq in the ring, nil
// if it is not there.
func (p *pairing) inRing(seq int64) *sent {
	distance := seq - p.first
	if p.live == 0 || distance < 0 || distance >= int64(p.span) {
		return nil
	}
	if slot := &p.ring[(p.head+int(distance))&(len(p.ring)-1)]; slot.at != 0 {
		return slot
	}
	return nil
}

// oldest returns when the oldest request came. There must be one.
func (p *pairing) oldest() time.Duration {
	oldest := time.Duration(math.MaxInt64)
	if p.live > 0 {
		oldest = p.ring[p.head].at
	}
	for _, r := range p.odd { // the first of a Seq is its oldest
		oldest = min(oldest, r.at)
	}
	return oldest
}

// len is the number of requests that are remembered.
func (p *pairing) len() int { return p.live + p.oddLive }

// drain removes every request and calls f with each and its Seq, those in the
// ring in their order.
func (p *pairing) drain(f func(seq int64, r *sent)) {
	for i := range p.span {
		if r := &p.ring[(p.head+i)&(len(p.ring)-1)]; r.at != 0 {
			f(p.first+int64(i), r)
		}
	}
	for seq, r := range p.odd {
		f(seq, &r)
		for i := range p.more[seq] {
			f(seq, &p.more[seq][i])
		}
	}
	*p = pairing{}
}

// release gives up the memory of a burst when the burst is over.
func (p *pairing) release() {
	if p.len() == 0 && (len(p.ring) > keptRing || p.odd != nil) {
		*p = pairing{}
	}
}

// trim moves the head over holes.
func (p *pairing) trim() {
	if p.live == 0 {
		p.span = 0
		return
	}
	for p.ring[p.head].at == 0 {
		p.head = (p.head + 1) & (len(p.ring) - 1)
		p.span--
		p.first++
	}
}

// grow makes room in the full ring. Where it is mostly holes, because an old
// request is never answered, the few requests move to the map instead, so that
// the ring does not grow with the length of the connection.
func (p *pairing) grow() {
	if p.live*4 < p.span {
		for i := range p.span {
			if r := p.ring[(p.head+i)&(len(p.ring)-1)]; r.at != 0 {
				p.prependOdd(p.first+int64(i), r)
			}
		}
		clear(p.ring)
		p.live, p.span = 0, 0
		return
	}
	ring := make([]sent, max(minRing, 2*len(p.ring)))
	n := copy(ring, p.ring[p.head:])
	copy(ring[n:], p.ring[:p.head])
	p.ring, p.head = ring, 0
}

func (p *pairing) isOdd(seq int64) bool {
	if p.oddLive == 0 {
		return false
	}
	_, ok := p.odd[seq]
	return ok
}

func (p *pairing) addOdd(seq int64, r sent) {
	if p.odd == nil {
		p.odd = make(map[int64]sent)
	}
	p.oddLive++
	if _, ok := p.odd[seq]; !ok {
		p.odd[seq] = r
		return
	}
	if p.more == nil {
		p.more = make(map[int64][]sent)
	}
	p.more[seq] = append(p.more[seq], r)
}

// prependOdd adds a request that is older than those of the same Seq in odd.
func (p *pairing) prependOdd(seq int64, r sent) {
	newer, ok := p.odd[seq]
	p.addOdd(seq, r)
	if ok {
		later := p.more[seq]
		copy(later[1:], later)
		later[0], p.odd[seq] = newer, r
	}
}

func (p *pairing) takeOdd(seq int64) (r sent, ok bool) {
	if p.oddLive == 0 {
		return sent{}, false
	}
	if r, ok = p.odd[seq]; !ok {
		return sent{}, false
	}
	p.oddLive--
	later := p.more[seq]
	if len(later) == 0 {
		delete(p.odd, seq)
		return r, true
	}
	p.odd[seq] = later[0]
	if len(later) == 1 {
		delete(p.more, seq)
	} else {
		p.more[seq] = later[1:]
	}
	return r, true
}

// forget drops a part of what is remembered and reports how much. Dropping an
// eighth at a time keeps the cost of a hostile stream low.
func (p *pairing) forget() (forgotten int) {
	const share = maxOutstanding / 8
	for p.live > 0 && forgotten < share {
		p.ring[p.head] = sent{}
		p.live--
		p.trim()
		forgotten++
	}
	if forgotten >= share {
		return forgotten
	}
	// The maps are made anew, because one that has shrunk is as slow to walk as
	// it was when it was full.
	odd, more := p.odd, p.more
	p.odd, p.more = make(map[int64]sent), nil
	for seq, r := range odd {
		later := more[seq]
		if forgotten < share {
			drop := min(share-forgotten, 1+len(later))
			forgotten += drop
			p.oddLive -= drop
			if drop == 1+len(later) {
				continue
			}
			r, later = later[drop-1], later[drop:]
		}
		p.odd[seq] = r
		if len(later) > 0 {
			if p.more == nil {
				p.more = make(map[int64][]sent)
			}
			p.more[seq] = slices.Clone(later)
		}
	}
	return forgotten
}
