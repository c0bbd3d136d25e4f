package inspect

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// What the flight recorder keeps: pairs of each sort, violations of each kind.
const (
	keptPairs      = 64
	keptViolations = 16
)

// recorder is the flight recorder. The zero recorder is empty and shows no
// payloads.
type recorder struct {
	leftOut atomic.Int64 // violations that were not looked at

	mu         sync.Mutex // guards the fields below
	payload    bool
	failed     ring[Record]
	slow       ring[Record]
	violations [proxy.NumViolations]ring[keptViolation]
	exemplars  map[string]*telemetry.Exemplars // by listener
}

type keptViolation struct {
	ViolationRecord
	redacted string // what Raw is without payload
}

// ring holds the last items that were added.
type ring[T any] struct {
	items []T
	next  int // where the oldest is, once there are as many as are kept
}

// add adds an item. In place of the oldest if there are kept.
func (r *ring[T]) add(item T, kept int) {
	if len(r.items) < kept {
		r.items = append(r.items, item)
		return
	}
	r.items[r.next] = item
	r.next = (r.next + 1) % kept
}

// newestFirst returns the items.
func (r *ring[T]) newestFirst() []T {
	all := make([]T, 0, len(r.items))
	all = append(append(all, r.items[r.next:]...), r.items[:r.next]...)
	slices.Reverse(all)
	return all
}

// show says whether payloads are shown from now on. If not, those that are there
// are forgotten.
func (r *recorder) show(payload bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.payload = payload
	if payload {
		return
	}
	for _, pairs := range []*ring[Record]{&r.failed, &r.slow} {
		for k := range pairs.items {
			pairs.items[k].Request, pairs.items[k].Answer = nil, nil
		}
	}
	for kind := range r.violations {
		for k := range r.violations[kind].items {
			v := &r.violations[kind].items[k]
			v.Raw = v.redacted
		}
	}
}

// pair keeps a pair that failed or was slow.
func (r *recorder) pair(p *proxy.Pair, record Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.payload {
		record.Request, record.Answer = nil, nil
	}
	if p.Why&proxy.WhyFailed != 0 {
		r.failed.add(record, keptPairs)
	}
	if p.Why&proxy.WhySlow != 0 {
		r.slow.add(record, keptPairs)
	}
}

// violation keeps a violation.
func (r *recorder) violation(kind proxy.ViolationKind, v keptViolation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.payload {
		v.Raw = v.redacted
	}
	r.violations[kind].add(v, keptViolations)
}

// exemplify makes a span the exemplar of what its pair is shown with.
func (r *recorder) exemplify(listener string, p *proxy.Pair, x telemetry.Exemplar) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.exemplars[listener]
	if e == nil {
		if r.exemplars == nil {
			r.exemplars = make(map[string]*telemetry.Exemplars)
		}
		e = new(telemetry.Exemplars)
		r.exemplars[listener] = e
	}
	e.Add(p, x)
}

// Recent returns what the flight recorder holds.
func (i *Inspector) Recent() Recent {
	r := &i.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	recent := Recent{
		Failed:            r.failed.newestFirst(),
		Slow:              r.slow.newestFirst(),
		Violations:        []ViolationRecord{},
		ViolationsLeftOut: r.leftOut.Load(),
		Payload:           r.payload,
	}
	for kind := range r.violations {
		for _, v := range r.violations[kind].newestFirst() {
			recent.Violations = append(recent.Violations, v.ViolationRecord)
		}
	}
	slices.SortStableFunc(recent.Violations, func(a, b ViolationRecord) int {
		return cmp.Compare(b.Time.UnixNano(), a.Time.UnixNano())
	})
	return recent
}

// Exemplars returns the traces that are shown beside the counts, by listener.
func (i *Inspector) Exemplars() map[string]telemetry.Exemplars {
	r := &i.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]telemetry.Exemplars, len(r.exemplars))
	for listener, e := range r.exemplars {
		all[listener] = *e
	}
	return all
}
