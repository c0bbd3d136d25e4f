//go:build unix

package collector

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

const (
	droppedLine  = `"telemetry is dropped"`
	deliversLine = `"telemetry is no longer dropped"`
)

// hasty is the environment of a sidecar that gives up soon: what has not been
// taken within two seconds is lost.
var hasty = []string{soon, "OTEL_EXPORTER_OTLP_TIMEOUT=2000", "OTEL_BSP_EXPORT_TIMEOUT=2000"}

// small is the environment of one that has little room for spans.
var small = []string{"OTEL_BSP_MAX_QUEUE_SIZE=200", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=50"}

// traced starts a sidecar that sends the spans of all pairs to a collector.
func traced(t *testing.T, c *collector, env ...string) *sidecar {
	t.Helper()
	telemetry := fmt.Sprintf("{pairs: {ratio: 1, slow: none, perSecond: 100000}, otlp: {endpoint: %q, protocol: %s}}", c.endpoint(), c.protocol)
	return newSidecar(t, built.Serve(t).Address, telemetry, append(env, hasty...)...)
}

// traffic is load that lasts for some seconds.
func traffic(t *testing.T, s *sidecar) programs.Report {
	t.Helper()
	return load(t, s, "--connections", "4", "--rate", "1000", "--requests", "3000")
}

// account waits until it is known what became of all spans, and compares that
// with the metrics and with what the collector has.
func account(t *testing.T, s *sidecar, c *collector) programs.Spans {
	t.Helper()
	spans := s.Await("all spans", func(st programs.Stats) bool { return settled(st.Spans) }).Spans
	for series, want := range map[string]int64{
		`foo_sidecar_spans_total{result="sampled"}`:        spans.Sampled,
		`foo_sidecar_spans_total{result="exported"}`:       spans.Exported,
		`foo_sidecar_spans_dropped_total{reason="limit"}`:  spans.Dropped.Limit,
		`foo_sidecar_spans_dropped_total{reason="queue"}`:  spans.Dropped.Queue,
		`foo_sidecar_spans_dropped_total{reason="export"}`: spans.Dropped.Export,
	} {
		if got := s.Metric(series); got != strconv.FormatInt(want, 10) {
			t.Errorf("%s is %s, and /stats says %d", series, got, want)
		}
	}
	// It may have more: those that it took when nobody waited for its answer.
	if got := int64(len(c.received("foo"))); got < spans.Exported {
		t.Errorf("the collector has %d spans, and %d were exported", got, spans.Exported)
	}
	return spans
}

// recovers sends a little more, until the sidecar says that all is well.
func recovers(t *testing.T, s *sidecar) (r []programs.Report) {
	t.Helper()
	for limit := time.Now().Add(programs.Patience); len(s.Stderr.Lines(deliversLine)) == 0; {
		if time.Now().After(limit) {
			t.Fatal("the sidecar does not recover")
		}
		r = append(r, load(t, s, "--connections", "1", "--rate", "20", "--requests", "4"))
	}
	return r
}

// logs looks for one line for each change of state.
func logs(t *testing.T, s *sidecar, dropped, delivers int) {
	t.Helper()
	if got := len(s.Stderr.Lines(droppedLine)); got != dropped {
		t.Errorf("%d lines tell that spans are dropped, want %d", got, dropped)
	}
	if got := len(s.Stderr.Lines(deliversLine)); got != delivers {
		t.Errorf("%d lines tell that they no longer are, want %d", got, delivers)
	}
	if lines := s.Stderr.Lines("OpenTelemetry"); len(lines) > 0 {
		t.Errorf("the SDK was not silent: %s", lines)
	}
}

func TestCollectorIsAbsent(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, protocol)
			s := traced(t, c)
			counted(t, s, traffic(t, s))
			if spans := account(t, s, c); spans.Exported != 0 || spans.Dropped.Export == 0 || spans.Sampled != 3000 {
				t.Errorf("got %+v, want all of 3000 dropped", spans)
			}
			logs(t, s, 1, 0)
			if took := terminate(t, s.Process); took > 10*time.Second {
				t.Errorf("it took %v to end", took)
			}
		})
	}
}

func TestCollectorComesLate(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, protocol)
			s := traced(t, c)
			first := traffic(t, s)
			c.start()
			reports := append(recovers(t, s), first)
			counted(t, s, reports...)
			spans := account(t, s, c)
			logs(t, s, 1, 1)
			var told struct{ Dropped int64 }
			if err := json.Unmarshal([]byte(s.Stderr.Line(deliversLine)), &told); err != nil {
				t.Fatal(err)
			}
			// The log knows of the spans of connections, too.
			if lost := spans.Dropped.Queue + spans.Dropped.Export; told.Dropped < lost || told.Dropped > lost+int64(4+len(reports)) {
				t.Errorf("logged that %d spans were dropped, counted are %d", told.Dropped, lost)
			}
		})
	}
}

func TestCollectorIsRestarted(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, protocol).start()
			s := traced(t, c)
			reports := []programs.Report{traffic(t, s)}
			s.Await("the first spans to arrive", func(st programs.Stats) bool { return st.Spans.Exported == 3000 })
			logs(t, s, 0, 0)
			c.stop()
			reports = append(reports, traffic(t, s))
			s.Stderr.Line(droppedLine)
			c.start()
			reports = append(reports, recovers(t, s)...)
			counted(t, s, reports...)
			if spans := account(t, s, c); spans.Exported < 3000 || spans.Dropped.Export == 0 {
				t.Errorf("got %+v, want the first 3000 and something later, and a loss between", spans)
			}
			logs(t, s, 1, 1)
		})
	}
}

func TestCollectorRefuses(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, protocol).start()
			c.behave(0, consumererror.NewPermanent(errors.New("the disk is full")))
			s := traced(t, c)
			first := traffic(t, s)
			if spans := account(t, s, c); spans.Exported != 0 || spans.Dropped.Export == 0 {
				t.Errorf("got %+v, want all dropped", spans)
			}
			logs(t, s, 1, 0)
			c.behave(0, nil)
			counted(t, s, append(recovers(t, s), first)...)
			account(t, s, c)
			logs(t, s, 1, 1)
		})
	}
}

// TestCollectorIsSlow has one that takes all that it is sent, in time, but less
// than there is.
func TestCollectorIsSlow(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, protocol).start()
			c.behave(time.Second, nil) // 50 spans each
			s := traced(t, c, small...)
			first := traffic(t, s)
			spans := account(t, s, c)
			if spans.Exported == 0 || spans.Dropped.Queue == 0 {
				t.Errorf("got %+v, want some exported and some that found no room", spans)
			}
			var stand float64
			for _, span := range c.received("foo") {
				stand += span.attributes["foo.adjusted_count"].(float64)
			}
			// What found no room is owed by the next one, so only the last are missing.
			if stand < 2000 || stand > 3000 {
				t.Errorf("%d spans stand for %v pairs, want nearly 3000", spans.Exported, stand)
			}
			c.behave(0, nil)
			counted(t, s, append(recovers(t, s), first)...)
			account(t, s, c)
			logs(t, s, 1, 1)
		})
	}
}

// TestCollectorHangs has one that takes connections and requests, and does not
// answer.
func TestCollectorHangs(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, protocol).start()
			c.behave(time.Hour, nil)
			s := traced(t, c, small...)
			counted(t, s, traffic(t, s))
			if spans := account(t, s, c); spans.Exported != 0 || spans.Dropped.Export == 0 || spans.Dropped.Queue == 0 {
				t.Errorf("got %+v, want all dropped, by both", spans)
			}
			logs(t, s, 1, 0)
			if took := terminate(t, s.Process); took > 10*time.Second {
				t.Errorf("it took %v to end", took)
			}
		})
	}
}
