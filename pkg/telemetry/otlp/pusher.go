package otlp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// Pusher sends metrics to a collector. Use [NewPusher].
type Pusher struct {
	provider *sdkmetric.MeterProvider
}

// NewPusher returns a Pusher that sends, each interval, what the gatherer has. As
// with [NewTracer], a collector that is absent is no error. The Pusher must be
// shut down.
//
// A histogram that has native buckets is sent with these, as an exponential
// histogram, and without its classic ones and its exemplars.
func NewPusher(ctx context.Context, o Options, g prometheus.Gatherer, interval time.Duration) (*Pusher, error) {
	target, err := o.target(metrics)
	if err != nil {
		return nil, err
	}
	exporter, err := newMetricExporter(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("make an exporter of metrics to %s: %w", target.url, err)
	}
	o.Log = o.Log.WithValues("signal", metrics.name, "endpoint", target.url)
	return newPusher(exporter, newResource(ctx, o.Version, o.Log), g, interval, o.Log), nil
}

// newPusher returns a Pusher that sends by an exporter.
func newPusher(exporter sdkmetric.Exporter, described *resource.Resource, g prometheus.Gatherer, interval time.Duration, log logr.Logger) *Pusher {
	reader := sdkmetric.NewPeriodicReader(
		&metricExporter{Exporter: exporter, health: &health{log: log}},
		sdkmetric.WithInterval(interval),
		sdkmetric.WithProducer(bridge.NewMetricProducer(bridge.WithGatherer(partial(g, log)))))
	return &Pusher{provider: sdkmetric.NewMeterProvider(
		sdkmetric.WithResource(described), sdkmetric.WithReader(reader))}
}

// Shutdown sends the metrics once more, as they are now, and gives up when ctx
// is done. It may be called once.
func (p *Pusher) Shutdown(ctx context.Context) error {
	if err := p.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last metrics: %w", err)
	}
	return nil
}

// partial returns a gatherer that logs the errors of g and returns what could be
// gathered. The bridge would rather send nothing, and hand the error to the
// handler of the process.
func partial(g prometheus.Gatherer, log logr.Logger) prometheus.GathererFunc {
	limited := telemetry.NewLimited(log, time.Minute)
	return func() ([]*dto.MetricFamily, error) {
		families, err := g.Gather()
		if err != nil {
			limited.Error("gather", err, "metrics are incomplete")
		}
		return families, nil
	}
}

// metricExporter is an exporter that notes whether it works, and that can be given
// what the bridge makes of exemplars.
type metricExporter struct {
	sdkmetric.Exporter
	health *health
}

// Export implements [sdkmetric.Exporter]. It returns no error: the SDK would
// only hand it to the handler of the process.
func (e *metricExporter) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	mend(m)
	err := e.Exporter.Export(ctx, m)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil // interrupted by the end, when all is sent once more
	}
	if err != nil {
		e.health.lose(1, fmt.Errorf("export metrics: %w", err))
	}
	e.health.attempted(err == nil)
	return nil
}
