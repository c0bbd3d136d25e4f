package otlp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
)

// metricSink is an exporter that keeps the values of a counter, and the traces of
// its exemplars.
type metricSink struct {
	mu     sync.Mutex
	values []float64
	traces []string
	hold   time.Duration
	fault  error
}

func (*metricSink) Temporality(sdkmetric.InstrumentKind) metricdata.Temporality {
	return metricdata.CumulativeTemporality
}

func (*metricSink) Aggregation(k sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return sdkmetric.DefaultAggregationSelector(k)
}

func (s *metricSink) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.hold):
	}
	if s.fault != nil {
		return s.fault
	}
	for _, scope := range m.ScopeMetrics {
		for _, metric := range scope.Metrics {
			if sum, ok := metric.Data.(metricdata.Sum[float64]); ok {
				s.values = append(s.values, sum.DataPoints[0].Value)
				for _, x := range sum.DataPoints[0].Exemplars {
					s.traces = append(s.traces, fmt.Sprintf("%x %x", x.TraceID, x.SpanID))
				}
			}
		}
	}
	return nil
}

func (*metricSink) ForceFlush(context.Context) error { return nil }
func (*metricSink) Shutdown(context.Context) error   { return nil }

func (s *metricSink) become(hold time.Duration, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold, s.fault = hold, fault
}

func (s *metricSink) expect(t *testing.T, want ...float64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	ok := len(s.values) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = s.values[i] == want[i]
	}
	if !ok {
		t.Errorf("sent were %v, want %v", s.values, want)
	}
}

// pushing is a Pusher that sends a counter each minute.
type pushing struct {
	*Pusher
	to      *metricSink
	log     *logbook
	counter prometheus.Counter
}

func newPushing() pushing {
	p := pushing{to: new(metricSink), log: new(logbook)}
	registry := prometheus.NewPedanticRegistry()
	p.counter = prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})
	registry.MustRegister(p.counter)
	p.Pusher = newPusher(p.to, resource.Empty(), registry, time.Minute, p.log.logger())
	return p
}

func TestMetricsArePushedEachIntervalAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushing()
		for range 2 {
			p.counter.Inc()
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		p.counter.Add(5)
		if err := p.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		p.to.expect(t, 1, 2, 7)
		p.log.expect(t)
	})
}

func TestFailedPushesAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushing()
		p.to.become(0, errors.New("go away"))
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		p.log.expect(t, "telemetry is dropped")
		p.to.become(0, nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		p.log.expect(t, "telemetry is dropped", "telemetry is no longer dropped")
		if err := p.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestPusherEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushing()
		p.to.become(time.Hour, nil)
		time.Sleep(time.Minute + time.Second) // one is on its way
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Shutdown(ctx); time.Since(start) != time.Second {
			t.Errorf("it took %v and returned %v", time.Since(start), err)
		}
		p.log.expect(t, "telemetry is dropped")
	})
}

func TestMetricsThatCanBeGatheredArePushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})
		registry.MustRegister(c)
		half := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			families, _ := registry.Gather()
			return families, errors.New("the other half is missing")
		})
		s, log := new(metricSink), new(logbook)
		p := newPusher(s, resource.Empty(), half, time.Second, log.logger())
		time.Sleep(10 * time.Second)
		if err := p.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if len(s.values) < 10 {
			t.Errorf("sent were %v", s.values)
		}
		log.expect(t, "metrics are incomplete")
	})
}

func TestExemplarsArePushedWithTheirTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushing()
		const traceID, spanID = "9ef7d8cfbd2ecd082e78794458f714f1", "674155009d8772e3"
		for _, labels := range []prometheus.Labels{
			{"trace_id": traceID, "span_id": spanID},
			{"trace_id": "of no such form", "span_id": "1234"},
			{},
		} {
			p.counter.(prometheus.ExemplarAdder).AddWithExemplar(1, labels)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		want := []string{traceID + " " + spanID, " ", " "}
		if !slices.Equal(p.to.traces, want) {
			t.Errorf("sent were %q, want %q", p.to.traces, want)
		}
		if err := p.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
