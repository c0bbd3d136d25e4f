//go:build unix

package collector

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

// collector is the part of an OpenTelemetry Collector that receives OTLP, over
// one protocol, and keeps what it is sent.
type collector struct {
	t        *testing.T
	protocol string // grpc or http/protobuf
	address  string
	running  []receiver.Traces // none, or one for all signals

	mu      sync.Mutex // guards the fields below
	changed chan struct{}
	hold    time.Duration // before anything is taken
	refusal error         // instead of taking anything
	spans   []span
	metrics map[string]float64 // the last value of each series
	pushes  int
}

// span is a span with what it came with.
type span struct {
	ptrace.Span
	attributes, resource map[string]any
}

// newCollector returns a collector that is not there yet, but has an address.
func newCollector(t *testing.T, protocol string) *collector {
	t.Helper()
	for range 100 {
		// Not one of the ports that the system hands out, or somebody else might
		// get it before the collector is there.
		address := "127.0.0.1:" + strconv.Itoa(20000+rand.IntN(10000))
		if free, err := net.Listen("tcp", address); err == nil {
			free.Close()
			return &collector{t: t, protocol: protocol, address: address, changed: make(chan struct{})}
		}
	}
	t.Fatal("there is no free port")
	return nil
}

// start lets the collector be there.
func (c *collector) start() *collector {
	c.t.Helper()
	for limit := time.Now().Add(programs.Patience); ; {
		r, err := c.listen()
		if err == nil {
			c.running = append(c.running, r)
			c.t.Cleanup(c.stop)
			return c
		}
		// A program that is just being started has for a moment a copy of each
		// socket of ours, also of one that is closed by now.
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(limit) {
			c.t.Fatalf("start the collector: %v", err)
		}
		runtime.Gosched()
	}
}

// listen returns a receiver that receives.
func (c *collector) listen() (receiver.Traces, error) {
	factory := otlpreceiver.NewFactory()
	settings := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	if c.protocol == "grpc" {
		server := settings.GRPC.GetOrInsertDefault()
		server.NetAddr.Endpoint = c.address
		settings.HTTP = configoptional.None[otlpreceiver.HTTPConfig]()
	} else {
		server := settings.HTTP.GetOrInsertDefault()
		server.ServerConfig.NetAddr.Endpoint = c.address
		settings.GRPC = configoptional.None[configgrpc.ServerConfig]()
	}
	traces, err := consumer.NewTraces(c.takeSpans)
	if err != nil {
		return nil, err
	}
	metrics, err := consumer.NewMetrics(c.takeMetrics)
	if err != nil {
		return nil, err
	}
	// Both are one receiver, because their configuration is the same.
	ctx, nop := context.Background(), receivertest.NewNopSettings(factory.Type())
	if _, err := factory.CreateMetrics(ctx, nop, settings, metrics); err != nil {
		return nil, err
	}
	r, err := factory.CreateTraces(ctx, nop, settings, traces)
	if err != nil {
		return nil, err
	}
	return r, r.Start(ctx, componenttest.NewNopHost())
}

// stop takes the collector away, if it is there.
func (c *collector) stop() {
	c.behave(0, nil)
	for _, r := range c.running {
		if err := r.Shutdown(context.Background()); err != nil {
			c.t.Errorf("stop the collector: %v", err)
		}
	}
	c.running = nil
}

// behave changes how long the collector takes for each batch, and with what it
// refuses it. What is being held goes on.
func (c *collector) behave(hold time.Duration, refusal error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hold, c.refusal = hold, refusal
	c.change()
}

// change wakes whoever waits for a change. c.mu must be held.
func (c *collector) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// take waits as long as the collector does, and returns its refusal. Unless that
// is an error, c.mu is held.
func (c *collector) take(ctx context.Context) error {
	begin := time.Now()
	for {
		c.mu.Lock()
		left := c.hold - time.Since(begin)
		if left <= 0 {
			break
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-time.After(left):
		}
	}
	if c.refusal != nil {
		defer c.mu.Unlock()
		return c.refusal
	}
	c.change()
	return nil
}

func (c *collector) takeSpans(ctx context.Context, all ptrace.Traces) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.mu.Unlock()
	for _, r := range all.ResourceSpans().All() {
		for _, scope := range r.ScopeSpans().All() {
			for _, s := range scope.Spans().All() {
				c.spans = append(c.spans, span{s, s.Attributes().AsRaw(), r.Resource().Attributes().AsRaw()})
			}
		}
	}
	return nil
}

func (c *collector) takeMetrics(ctx context.Context, all pmetric.Metrics) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.mu.Unlock()
	c.pushes++
	c.metrics = make(map[string]float64)
	for _, r := range all.ResourceMetrics().All() {
		for _, scope := range r.ScopeMetrics().All() {
			for _, m := range scope.Metrics().All() {
				c.keep(m, r.Resource())
			}
		}
	}
	return nil
}

// keep keeps the values of a metric as series: name{label="value",...}. A
// histogram is kept as its count.
func (c *collector) keep(m pmetric.Metric, r pcommon.Resource) {
	if name, _ := r.Attributes().Get("service.name"); name.Str() == "" {
		c.t.Errorf("the metric %s comes from no service", m.Name())
	}
	set := func(labels pcommon.Map, value float64) {
		series := m.Name()
		for i, label := range slices.Sorted(maps.Keys(labels.AsRaw())) {
			v, _ := labels.Get(label)
			series += map[bool]string{true: "{", false: ","}[i == 0] + label + `="` + v.AsString() + `"`
		}
		if labels.Len() > 0 {
			series += "}"
		}
		c.metrics[series] = value
	}
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		for _, p := range m.Gauge().DataPoints().All() {
			set(p.Attributes(), p.DoubleValue())
		}
	case pmetric.MetricTypeSum:
		for _, p := range m.Sum().DataPoints().All() {
			set(p.Attributes(), p.DoubleValue())
		}
	case pmetric.MetricTypeHistogram:
		for _, p := range m.Histogram().DataPoints().All() {
			set(p.Attributes(), float64(p.Count()))
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, p := range m.ExponentialHistogram().DataPoints().All() {
			set(p.Attributes(), float64(p.Count()))
		}
	}
}

// received returns the spans of a name that have arrived so far.
func (c *collector) received(name string) (found []span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	return found
}

// await waits until what the collector has is as expected.
func (c *collector) await(what string, ok func() bool) {
	c.t.Helper()
	limit := time.After(programs.Patience)
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-limit:
			c.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// endpoint returns where the collector is, or will be.
func (c *collector) endpoint() string { return "http://" + c.address }
