package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

// What a sidecar sent to a tap, with a heartbeat and a payload that means harm.
const tapped = `{"time":"2026-11-21T12:27:14.072515901Z","listener":"default","session":8,"seq":22,"outcome":"ack","duration_seconds":0.000104286,"wait_seconds":0,"retries":0,"request_bytes":40,"answer_bytes":40,"client":"10.0.0.9:41416","server":"foo:8001","peer":"10.0.1.1:8001","why":["tapped"]}

{"omitted":1234}
{"time":"2026-11-21T12:27:14.076036017Z","listener":"default","session":9,"seq":23,"outcome":"nak","nak_by":"upstream","duration_seconds":0.0512,"wait_seconds":0,"retries":0,"request_bytes":40,"answer_bytes":12,"client":"10.0.0.9:41422","server":"foo:8001","peer":"10.0.1.1:8001","why":["failed","slow"],"request":"buy","answer":"` + "no \\u001b]0;x\\u0007\u009b2J" + `"}
`

func TestTapPrintsPairsInColumns(t *testing.T) {
	address := adminServer(t, map[string]string{"/tap?rate=100": tapped})
	got := execute("tap", address)
	lines := strings.Split(got.stdout, "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "TIME ") || got.code != cli.CodeFailure {
		t.Fatalf("got %+v, want titles, two pairs, and the failure that the stream ended", got)
	}
	for i, want := range []string{
		`ack             104µs         22        8          40/40  10.0.0.9:41416         foo:8001`,
		`nak            51.2ms         23        9          40/12  10.0.0.9:41422         foo:8001               slow "buy" -> "no \x1b]0;x\a\u009b2J"`,
	} {
		// The time is that of the reader's time zone.
		if _, pair, _ := strings.Cut(lines[i+1], "  "); pair != want {
			t.Errorf("pair %d: got\n%s, want\n%s", i, pair, want)
		}
	}
	for _, want := range []string{"sidecar: 1,234 more pairs left out", "the sidecar has ended the stream"} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("standard error %q does not say %q", got.stderr, want)
		}
	}
}

func TestTapPrintsJSONAsItCame(t *testing.T) {
	address := adminServer(t, map[string]string{"/tap?match=x&outcome=ack%2Cnak&rate=7&slower=50ms": tapped})
	got := execute("tap", address, "--json", "--outcome", "ack", "-outcome", "nak", "-rate", "7", "--slower", "50ms", "--match", "x", "--count", "2")
	want := strings.ReplaceAll(strings.ReplaceAll(tapped, "\n\n", "\n"), "\u009b", `\u009b`)
	if diff := cmp.Diff(execution{stdout: want}, got, cmp.AllowUnexported(execution{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTapEndsAfterEnoughPairs(t *testing.T) {
	address := adminServer(t, map[string]string{"/tap?rate=100": tapped})
	if got := execute("tap", address, "--count", "1"); got.code != cli.CodeOK || strings.Count(got.stdout, "\n") != 2 || got.stderr != "" {
		t.Errorf("got %+v, want the titles and one pair", got)
	}
}
