//go:build unix

package collector

import (
	"fmt"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

// pushed compares what was pushed last with the statistics.
func pushed(t *testing.T, c *collector, st programs.Stats) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for series, want := range map[string]int64{
		`foo_sidecar_messages_total{listener="default",type="req"}`: st.MsgReq,
		`foo_sidecar_messages_total{listener="default",type="ack"}`: st.MsgAck,
		`foo_sidecar_messages_total{listener="default",type="nak"}`: st.MsgNak,
		`foo_sidecar_pairs_total{listener="default",outcome="ack"}`: st.Acked,
		`foo_sidecar_pairs_total{listener="default",outcome="nak"}`: st.Naked,
		`foo_sidecar_request_duration_seconds{listener="default"}`:  st.Acked + st.Naked,
		`foo_sidecar_connections_opened_total{listener="default"}`:  st.Connections.Opened,
	} {
		if got, ok := c.metrics[series]; !ok || int64(got) != want {
			t.Errorf("%s is %v, and /stats says %d", series, got, want)
		}
	}
	if t.Failed() {
		t.Logf("pushed were %v", c.metrics)
	}
}

func TestMetricsArePushedAtTheEnd(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, protocol).start()
			s := newSidecar(t, built.Serve(t, "--nak", "0.1").Address, fmt.Sprintf("{otlp: {endpoint: %q, protocol: %s}, metrics: {push: true, interval: 1h}}",
				c.endpoint(), protocol))
			// With traces, so that the counts of refused pairs have exemplars.
			st := counted(t, s, load(t, s, "--connections", "8", "--pipeline", "16", "--requests", "20000"))
			terminate(t, s.Process)
			pushed(t, c, st)
			if c.pushes != 1 {
				t.Errorf("metrics were pushed %d times, want once", c.pushes)
			}
		})
	}
}

func TestMetricsArePushedEachInterval(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, protocol).start()
			s := newSidecar(t, built.Serve(t).Address, fmt.Sprintf("{otlp: {endpoint: %q, protocol: %s}, metrics: {push: true, interval: 1s}}",
				c.endpoint(), protocol))
			st := counted(t, s, load(t, s, "--requests", "2000"))
			c.mu.Lock()
			had := c.pushes
			c.mu.Unlock()
			c.await("two more pushes", func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.pushes >= had+2
			})
			pushed(t, c, st)
			if lines := s.Stderr.Lines(droppedLine); len(lines) > 0 {
				t.Errorf("logged: %s", lines)
			}
		})
	}
}

func TestMetricsHaveNobodyToTakeThem(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, protocol)
			s := newSidecar(t, built.Serve(t).Address, fmt.Sprintf("{otlp: {endpoint: %q, protocol: %s}, traces: {exporter: none}, "+
				"metrics: {push: true, interval: 1s}}", c.endpoint(), protocol), "OTEL_EXPORTER_OTLP_TIMEOUT=500", "OTEL_METRIC_EXPORT_TIMEOUT=500")
			counted(t, s, load(t, s, "--connections", "4", "--rate", "1000", "--requests", "4000"))
			logs(t, s, 1, 0)
			if took := terminate(t, s.Process); took > 10*time.Second {
				t.Errorf("it took %v to end", took)
			}
			logs(t, s, 1, 0)
		})
	}
}
