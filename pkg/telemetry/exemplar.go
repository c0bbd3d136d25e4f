package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// Exemplar is a trace that stands for all that was counted with it.
type Exemplar struct {
	// Value is how long the pair took.
	Value time.Duration
	// Time is when it ended.
	Time time.Time
	// TraceID and SpanID name its span, in hexadecimal digits.
	TraceID, SpanID string
}

// Exemplars are the last traces of what somebody may want to look into: slow and
// refused pairs. Nil stands for none. The zero value is ready to use; a copy does
// not change when the original does.
type Exemplars struct {
	// Buckets are the slow ones among the pairs that the upstream answered, by
	// classic bucket of the duration histogram.
	Buckets [NumBuckets]*Exemplar
	// Nak is the last pair that the upstream refused, Refused those that the
	// sidecar did.
	Nak     *Exemplar
	Refused [proxy.NumRefusals]*Exemplar
}

// Add makes x the exemplar of whatever it is one of, if a pair like p is shown
// with exemplars at all.
func (e *Exemplars) Add(p *proxy.Pair, x Exemplar) {
	switch p.Outcome {
	case proxy.OutcomeNak:
		e.Nak = &x
	case proxy.OutcomeRefused:
		e.Refused[p.Refusal] = &x
	}
	answered := p.Outcome == proxy.OutcomeAck || p.Outcome == proxy.OutcomeNak
	if answered && p.Why&proxy.WhySlow != 0 {
		e.Buckets[bucketOf(x.Value)] = &x
	}
}

// shown returns x as it is shown, with the given value.
func (x *Exemplar) shown(value float64) prometheus.Exemplar {
	return prometheus.Exemplar{
		Value: value, Timestamp: x.Time,
		Labels: prometheus.Labels{"trace_id": x.TraceID, "span_id": x.SpanID},
	}
}
