package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

// eventFile is an event that a sidecar sent.
const eventFile = "internal/dashboard/testdata/event.json"

// execution is what came of a command line.
type execution struct {
	code           int
	stdout, stderr string
}

// execute runs the program in this process.
func execute(args ...string) execution {
	var stdout, stderr bytes.Buffer
	code := run(append([]string{"sidecar"}, args...), &stdout, &stderr)
	return execution{code, stdout.String(), stderr.String()}
}

// adminServer is the admin port of a sidecar that says what a test wants: what
// it answers for each path.
func adminServer(t *testing.T, answers map[string]string) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.RequestURI()]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = fmt.Sprintf(`{"error": "there is no %s"}`, r.URL.RequestURI())
		}
		fmt.Fprint(w, answer)
		_ = http.NewResponseController(w).Flush()
		if ok && r.URL.Path == "/events" {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// recordedEvent returns the recorded event as a sidecar sends it.
func recordedEvent(t *testing.T) string {
	t.Helper()
	event, err := os.ReadFile(eventFile)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("event: update\ndata: %s\n", event) // the file ends in a newline
}

func TestStatsPrintsTheLineOfTheSidecar(t *testing.T) {
	const line = `{"msg_total":7,"request_rate_10s":0.3,"listeners":[{"name":"größer"}]}` + "\n"
	address := adminServer(t, map[string]string{"/stats": line})
	for _, args := range [][]string{{"stats", address}, {"stats", "http://" + address, "--json"}, {"stats", "-json", address}} {
		if got, want := execute(args...), (execution{stdout: line}); got != want {
			t.Errorf("%q: got %+v, want %+v", args, got, want)
		}
	}
	t.Setenv("FOO_SIDECAR_HTTP", address)
	if got, want := execute("stats"), (execution{stdout: line}); got != want {
		t.Errorf("by the sidecar's own variable: got %+v, want %+v", got, want)
	}
}

func TestStatsCannotControlTheTerminal(t *testing.T) {
	address := adminServer(t, map[string]string{"/stats": "{\"a\":\"\u009b2J\"}\n"})
	if got := execute("stats", address); got.stdout != `{"a":"\u009b2J"}`+"\n" {
		t.Errorf("got %q", got.stdout)
	}
}

func TestExitCodeTellsFailureFromMisuse(t *testing.T) {
	address := adminServer(t, nil)
	for _, tc := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"stats", address}, cli.CodeFailure, "there is no /stats; the sidecar is older"},
		{[]string{"stats", "nonsense"}, cli.CodeUsage, "Run 'sidecar stats --help' for usage."},
		{[]string{"stats", address, address}, cli.CodeUsage, "accepts at most 1 arg"},
		{[]string{"tap", address}, cli.CodeFailure, "for /tap: there is no /tap"},
		{[]string{"tap", address, "--outcome", "nak,nope"}, cli.CodeUsage, `--outcome: "nope" is none of ack, nak, nak_local, unanswered`},
		{[]string{"tap", address, "--match", "("}, cli.CodeUsage, "--match: error parsing regexp"},
		{[]string{"tap", address, "--slower", "-1s"}, cli.CodeUsage, "--slower: -1s is negative"},
		{[]string{"tap", address, "--rate", "0"}, cli.CodeUsage, "--rate: must be 1 to "},
		{[]string{"tap", address, "--count", "-1"}, cli.CodeUsage, "--count: -1 is negative"},
		{[]string{"top", address, "x"}, cli.CodeUsage, `address "x"`},
		{[]string{"top", address, "--interval", "1ms"}, cli.CodeUsage, "--interval: must be at least 100ms"},
		{[]string{"top", address, "--sort", "size"}, cli.CodeUsage, "must be one of given, name"},
		{[]string{"top", address}, cli.CodeUsage, "not a terminal, which top draws on: use --once or --json"},
	} {
		got := execute(tc.args...)
		if got.code != tc.code || !strings.Contains(got.stderr, tc.stderr) || got.stdout != "" {
			t.Errorf("%q: got %+v, want code %d and %q", tc.args, got, tc.code, tc.stderr)
		}
	}
}

func TestFlagValuesAreCompleted(t *testing.T) {
	for _, tc := range []struct {
		args, want string
	}{
		{"tap --outcome ", "ack nak nak_local unanswered"},
		{"tap --outcome nak,", "nak,ack nak,nak_local nak,unanswered"},
		{"top --sort ", "given name rate p99 failed inflight oldest"},
		{"top --interval ", "1s 5s 10s"},
		{"tap --rate ", ""},
		{"stats ", ""},
	} {
		got := execute(append([]string{"__complete"}, strings.Split(tc.args, " ")...)...)
		lines := strings.Fields(got.stdout)
		if len(lines) == 0 {
			t.Errorf("%s: got %+v", tc.args, got)
			continue
		}
		// The last says what the shell is to do besides.
		if joined := strings.Join(lines[:len(lines)-1], " "); joined != tc.want {
			t.Errorf("%s: got %q, want %q", tc.args, joined, tc.want)
		}
	}
}
