package sidecar

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/admin"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry/inspect"
)

// exchange sends a line and returns the answer.
func exchange(t *testing.T, conn net.Conn, line string) string {
	t.Helper()
	if _, err := io.WriteString(conn, line); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// awaitGiven waits for something that is known to come.
func awaitGiven[T any](t *testing.T, what string, get func() (T, bool)) T {
	t.Helper()
	limit := time.Now().Add(20 * time.Second)
	for {
		if got, ok := get(); ok {
			return got
		}
		if time.Now().After(limit) {
			t.Fatalf("waited in vain for %s", what)
		}
		runtime.Gosched()
	}
}

func (i *instance) recent() (r inspect.Recent) {
	i.t.Helper()
	_, body := i.get("/debug/recent")
	data, err := json.Marshal(body)
	must(i.t, err)
	must(i.t, json.Unmarshal(data, &r))
	return r
}

const secret = "s3cr3t"

func TestWhatIsLookedAtChangesWhileConnectionsStay(t *testing.T) {
	up := server(t, 0)
	section := func(pairs, log string) string {
		return fmt.Sprintf("listeners: [{name: default, address: '127.0.0.1:0'}]\nupstreams: [{name: default, addresses: ['%s']}]\n"+
			"telemetry: {pairs: {slow: none, %s}}\nlog: {%s}", up, pairs, log)
	}
	i := launch(t, section("ratio: 0", "access: false"))
	conn, err := net.Dial("tcp", i.address("default"))
	must(t, err)
	defer conn.Close()
	exchange(t, conn, "REQ 1 "+secret+"\n")
	if r := i.recent(); len(r.Slow)+len(r.Failed)+len(r.Violations) != 0 {
		t.Errorf("/debug/recent has %+v before anything was wrong", r)
	}

	i.write(document(i.dir, section("ratio: 1", "access: true")))
	i.awaitGeneration(2)
	exchange(t, conn, "REQ 2 "+secret+"\n")
	line := awaitGiven(t, "a line of the access log", func() (string, bool) {
		_, after, ok := strings.Cut(i.log.String(), `"msg":"pair"`)
		return after, ok && strings.Contains(after, "\n")
	})
	for _, part := range []string{`"seq":2`, `"outcome":"ack"`, `"session":1`} {
		if !strings.Contains(line, part) {
			t.Errorf("the access log has no %s: %s", part, line)
		}
	}

	// What violates the protocol is shown, but not what it says.
	exchange(t, conn, "REQ 2 "+secret+"\n")
	shown := awaitGiven(t, "a violation", func() (inspect.Recent, bool) { r := i.recent(); return r, len(r.Violations) > 0 })
	if v := shown.Violations[0]; v.Kind != "non_ascending" || v.Offset != int64(2*len("REQ 1 \n")+2*len(secret)) || strings.Contains(v.Raw, secret) {
		t.Errorf("got %+v", v)
	}
	if strings.Contains(i.log.String(), secret) {
		t.Errorf("the log has payload:\n%s", i.log)
	}

	i.write(document(i.dir, section("ratio: 0, payload: show", "access: false")))
	i.awaitGeneration(3)
	exchange(t, conn, "REQ 1 "+secret+"\n")
	awaitGiven(t, "a violation with its payload", func() (inspect.Recent, bool) {
		r := i.recent()
		return r, len(r.Violations) == 2 && strings.Contains(r.Violations[0].Raw, secret)
	})
}

func TestOutcomesOfATapAreThoseOfPairs(t *testing.T) {
	var outcomes []string
	for o := range proxy.NumOutcomes {
		outcomes = append(outcomes, o.String())
	}
	if !slices.Equal(outcomes, admin.TapOutcomes) {
		t.Errorf("/tap knows %q, pairs have %q", admin.TapOutcomes, outcomes)
	}
}

// TestBadVariablesOfOpenTelemetryStopNothing: they may be there for somebody
// else in the pod.
func TestBadVariablesOfOpenTelemetryStopNothing(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon")
	up := server(t, 0)
	i := launch(t, fmt.Sprintf("listeners: [{name: default, address: '127.0.0.1:0'}]\nupstreams: [{name: default, addresses: ['%s']}]\n"+
		"telemetry: {traces: {exporter: otlp}}", up))
	conn, err := net.Dial("tcp", i.address("default"))
	must(t, err)
	defer conn.Close()
	if got, want := exchange(t, conn, "REQ 1 hello\n"), "ACK 1 hello\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if log := i.log.String(); !strings.Contains(log, "going on without sending spans") || !strings.Contains(log, "carrier-pigeon") {
		t.Errorf("the log does not tell:\n%s", log)
	}
}

func TestTapShowsPairsAsTheyEnd(t *testing.T) {
	up := server(t, 0)
	i := launch(t, fmt.Sprintf("listeners: [{name: default, address: '127.0.0.1:0'}]\nupstreams: [{name: default, addresses: ['%s']}]", up))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://sidecar/tap?outcome=ack", http.NoBody)
	must(t, err)
	answer, err := i.client.Do(request)
	must(t, err)
	defer answer.Body.Close()
	conn, err := net.Dial("tcp", i.address("default"))
	must(t, err)
	defer conn.Close()
	exchange(t, conn, "REQ 41 "+secret+"\n")
	line, err := bufio.NewReader(answer.Body).ReadString('\n')
	must(t, err)
	var r inspect.Record
	must(t, json.Unmarshal([]byte(line), &r))
	if r.Seq != 41 || r.Outcome != "ack" || r.Client != conn.LocalAddr().String() || r.Server != up || strings.Contains(line, secret) {
		t.Errorf("got %s", line)
	}
}

func TestTraceContextFollowsTheConfiguration(t *testing.T) {
	const parent = "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	up := server(t, 0)
	section := func(context string) string {
		return fmt.Sprintf("listeners: [{name: default, address: '127.0.0.1:0'}]\nupstreams: [{name: default, addresses: ['%s']}]\n"+
			"telemetry: {traces: {context: {%s}}}", up, context)
	}
	i := launch(t, section("strip: true"))
	say := func(line string) string {
		conn, err := net.Dial("tcp", i.address("default"))
		must(t, err)
		defer conn.Close()
		return exchange(t, conn, line)
	}
	if got, want := say("REQ 1 "+parent+" hello\n"), "ACK 1 hello\n"; got != want {
		t.Errorf("with strip the server answers %q, want %q", got, want)
	}
	// Without an exporter there is no span whose context could be injected.
	i.write(document(i.dir, section("inject: true")))
	i.awaitGeneration(2)
	if got, want := say("REQ 1 "+parent+" hello\n"), "ACK 1 "+parent+" hello\n"; got != want {
		t.Errorf("without strip the server answers %q, want %q", got, want)
	}
	i.write(document(i.dir, section(`strip: true, pattern: 'hel\[(.*)\]'`)))
	i.awaitGeneration(3)
	if got, want := say("REQ 1 hel["+strings.TrimPrefix(parent, "traceparent=")+"]lo\n"), "ACK 1 lo\n"; got != want {
		t.Errorf("with a pattern the server answers %q, want %q", got, want)
	}
}
