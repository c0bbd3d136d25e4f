//go:build unix

package collector

import (
	"bufio"
	"fmt"
	"math"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
	"github.com/foo-protocol/foo-sidecar/internal/programs/programstest"
)

// soon lets a sidecar send its spans soon.
const soon = "OTEL_BSP_SCHEDULE_DELAY=100"

// protocols are those that each test is run over.
var protocols = []string{"grpc", "http/protobuf"}

// pick returns some attributes of a span.
func pick(from map[string]any, keys ...string) map[string]any {
	picked := make(map[string]any)
	for _, key := range keys {
		picked[key] = from[key]
	}
	return picked
}

func TestSpansArriveWithWhatTheyAreAbout(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, protocol).start()
			upstream := built.Serve(t, "--nak", "0.1").Address
			s := newSidecar(t, upstream, "{pairs: {ratio: 0.1, slow: none, perSecond: 100000}}", soon,
				"OTEL_EXPORTER_OTLP_ENDPOINT="+c.endpoint(), "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol,
				"POD_NAME=web-7d4b9c6f5d-x2k9p", "POD_NAMESPACE=shop", "NODE_NAME=node-1", "CONTAINER_NAME=foo-sidecar",
				"OTEL_RESOURCE_ATTRIBUTES=team=green")
			r := load(t, s, "--connections", "4", "--rate", "3000", "--requests", "9000")
			counted(t, s, r)
			st := s.Await("all spans", func(st programs.Stats) bool { return settled(st.Spans) })
			c.await("all spans", func() bool {
				return len(c.received("foo")) == int(st.Spans.Exported) && len(c.received("foo connection")) == 4
			})

			connections := make(map[string]span)
			for _, s := range c.received("foo connection") {
				connections[s.SpanID().String()] = s
			}
			var acked, naked float64
			identities := make(map[string]bool)
			for _, s := range c.received("foo") {
				checkSpan(t, s, upstream)
				if s.attributes["foo.outcome"] == "nak" {
					naked += s.attributes["foo.adjusted_count"].(float64)
				} else {
					acked += s.attributes["foo.adjusted_count"].(float64)
				}
				if s.Links().Len() != 1 || connections[s.Links().At(0).SpanID().String()].TraceID() != s.Links().At(0).TraceID() {
					t.Errorf("its links do not lead to one of the connections: %v", s.attributes)
				}
				identities[s.TraceID().String()+s.SpanID().String()] = true
			}
			if got := len(identities); got != int(st.Spans.Exported) {
				t.Errorf("%d spans have but %d identities", st.Spans.Exported, got)
			}
			if int64(naked) != r.NAKs {
				t.Errorf("there are %v spans of NAKs, want one of each of %d", naked, r.NAKs)
			}
			// One in ten of 8100 or so: the standard deviation is 3.3 %.
			if off := math.Abs(acked/float64(r.ACKs) - 1); off > .2 {
				t.Errorf("the spans stand for %v ACKs, and there were %d", acked, r.ACKs)
			}
		})
	}
}

// checkSpan looks at a span of an ordinary pair.
func checkSpan(t *testing.T, s span, upstream string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(upstream)
	want := map[string]any{
		"rpc.system.name": "foo", "rpc.response.status_code": "ACK", "foo.outcome": "ack", "foo.listener": "default", "foo.retries": int64(0),
		"server.address": host, "network.peer.address": host, "client.address": "127.0.0.1",
		"error.type": nil, "foo.nak_by": nil, "foo.why": []any{"sampled"},
	}
	status := ptrace.StatusCodeUnset
	if s.attributes["foo.outcome"] == "nak" {
		want["foo.outcome"], want["rpc.response.status_code"], want["error.type"], want["foo.nak_by"] = "nak", "NAK", "NAK", "upstream"
		want["foo.why"], status = s.attributes["foo.why"], ptrace.StatusCodeError // chance may choose it, too
	}
	keys := make([]string, 0, len(want))
	for key := range want {
		keys = append(keys, key)
	}
	if diff := cmp.Diff(want, pick(s.attributes, keys...)); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if fmt.Sprint(s.attributes["server.port"]) != port || s.attributes["foo.seq"].(int64) < 1 || s.attributes["foo.request.size"].(int64) < 10 {
		t.Errorf("got %v, want the port %s, and a sequence and a size", s.attributes, port)
	}
	if s.Kind() != ptrace.SpanKindClient || s.Status().Code() != status || !s.ParentSpanID().IsEmpty() || s.EndTimestamp() <= s.StartTimestamp() {
		t.Errorf("kind %v, status %v, parent %v, from %v to %v", s.Kind(), s.Status().Code(), s.ParentSpanID(), s.StartTimestamp(), s.EndTimestamp())
	}
	if diff := cmp.Diff(map[string]any{
		"service.name": "web", "k8s.pod.name": "web-7d4b9c6f5d-x2k9p", "k8s.namespace.name": "shop", "k8s.node.name": "node-1",
		"k8s.container.name": "foo-sidecar", "team": "green",
	}, pick(s.resource, "service.name", "k8s.pod.name", "k8s.namespace.name", "k8s.node.name", "k8s.container.name", "team")); diff != "" {
		t.Errorf("resource (-want +got):\n%s", diff)
	}
}

// TestTracesGoThroughTheSidecar has a client and an upstream that trace, too:
// the upstream is one that tells in its answer what it was sent.
func TestTracesGoThroughTheSidecar(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, protocol).start()
			s := newSidecar(t, built.Serve(t).Address, fmt.Sprintf("{otlp: {endpoint: %q, protocol: %s}, "+
				"pairs: {ratio: 0}, traces: {context: {extract: true, inject: true}}}", c.endpoint(), protocol), soon)
			client, err := net.Dial("tcp", s.Address)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			fmt.Fprintf(client, "REQ 1 traceparent=%s hello\nREQ 2 nobody asked to trace this\n", parent)
			answers := bufio.NewReader(client)
			answer, err := answers.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if _, err := answers.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			c.await("the span", func() bool { return len(c.received("foo")) > 0 })

			span := c.received("foo")[0]
			if got := span.TraceID().String() + "-" + span.ParentSpanID().String(); !strings.Contains(parent, got) {
				t.Errorf("its trace and parent are %s, want those of %s", got, parent)
			}
			if want := fmt.Sprintf("ACK 1 traceparent=00-%s-%s-01 hello\n", span.TraceID(), span.SpanID()); answer != want {
				t.Errorf("the upstream was sent %q, want %q", answer, want)
			}
			if got := span.attributes["foo.why"]; !cmp.Equal(got, []any{"parent"}) {
				t.Errorf("it was traced because of %v", got)
			}
			client.Close()
			terminate(t, s.Process)
			if got := len(c.received("foo")); got != 1 {
				t.Errorf("%d spans arrived, want 1", got)
			}
		})
	}
}

// TestTracingIsSwitchedOnWhileItRuns changes the configuration under load.
func TestTracingIsSwitchedOnWhileItRuns(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, protocol).start()
			s := newSidecar(t, built.Serve(t).Address, "{pairs: {ratio: 1, perSecond: 100000}}", soon)
			client := built.Load(t, s.Address, "--rate", "200", "--duration", "1h")
			s.Await("traffic", func(st programs.Stats) bool { return st.Acked > 0 })
			if got := s.Stats().Spans.Exported; got != 0 {
				t.Errorf("%d spans went nowhere", got)
			}
			telemetry := "telemetry: {pairs: {ratio: 1, perSecond: 100000}, otlp: {endpoint: %q, protocol: %s}, traces: {exporter: %s}}"
			for _, exporter := range []string{"otlp", "none", "auto"} {
				programstest.Configure(t, s.config, fmt.Sprintf(telemetry, c.endpoint(), protocol, exporter))
				s.Signal(syscall.SIGHUP)
				if exporter != "none" {
					had := len(c.received("foo"))
					c.await("more spans", func() bool { return len(c.received("foo")) > had })
					continue
				}
				// The connections go on, but their spans end with what sends them.
				c.await("the spans of the connections", func() bool { return len(c.received("foo connection")) == 16 })
			}
			terminate(t, client.Process)
			s.AwaitIdle()
			terminate(t, s.Process)
			c.await("the spans of the connections once more", func() bool { return len(c.received("foo connection")) == 32 })
			if lines := s.Stderr.Lines("telemetry is dropped"); len(lines) > 0 {
				t.Errorf("spans were lost: %s", lines)
			}
		})
	}
}
