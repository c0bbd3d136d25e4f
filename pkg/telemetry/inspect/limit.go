package inspect

import (
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// admit returns how many pairs one of a class stands for, zero if there is no
// room for it; the next one of its class stands for it then. i.mu must be held.
func (i *Inspector) admit(c class, weight float64, at time.Duration, s *Settings) float64 {
	traced := s.Tracer != nil
	if traced {
		i.spans.Sampled++
	}
	if !i.room.take(at, s.PerSecond, s.PerSecond, c.floor(s.PerSecond)) {
		i.owed[c] += weight
		if traced {
			i.spans.Dropped.Limit++
		}
		return 0
	}
	weight += i.owed[c]
	i.owed[c] = 0
	return weight
}

// omit accounts for the pairs that were wanted but found no room in a batch.
// Nothing but their number is known of them; the counts of the batch tell how
// many of them failed and, but for those that did both, how many were slow.
// i.mu must be held.
func (i *Inspector) omit(s *session, b *proxy.Batch, settings *Settings) {
	var missing [numClasses]int64
	for o, n := range ended(b) {
		if proxy.Outcome(o) != proxy.OutcomeAck {
			missing[classFailed] += n
		}
	}
	if b.Interest != nil {
		for _, took := range b.Latencies {
			if took >= b.Interest.Slow {
				missing[classSlow]++
			}
		}
	}
	for k := range b.Pairs {
		p := &b.Pairs[k]
		if p.Why&proxy.WhyFailed != 0 {
			missing[classFailed]--
		}
		if p.Why&proxy.WhySlow != 0 && p.Outcome <= proxy.OutcomeNak {
			missing[classSlow]--
		}
	}
	rest := classSampled
	if b.Interest == nil || b.Interest.Ratio <= 0 {
		rest = classParent
	}
	missing[rest] = b.Omitted

	left := b.Omitted
	for c, n := range missing {
		n = min(max(n, 0), left)
		left -= n
		if class(c) < classParent || settings.ordinary() {
			i.owed[c] += float64(n) * s.weight(class(c))
		}
	}
	if settings.Tracer != nil {
		i.spans.Sampled += b.Omitted
		i.spans.Dropped.Limit += b.Omitted
	}
}

// ended returns how many requests ended in a batch, by outcome. Those that were
// forgotten are not among them: nothing is known of them.
func ended(b *proxy.Batch) (n [proxy.NumOutcomes]int64) {
	n[proxy.OutcomeAck], n[proxy.OutcomeNak] = b.Acked, b.Naked
	for r, refused := range b.Refused {
		if proxy.Refusal(r).EndsRequest() {
			n[proxy.OutcomeRefused] += refused
		}
	}
	n[proxy.OutcomeUnanswered] = b.UnansweredTotal() - b.Unanswered[proxy.UnansweredForgotten]
	return n
}
