package format

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/terminal"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry/inspect"
)

func TestNumbersAreShortAndHonest(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(999), "999"}, {Count(-1234), "-1,234"}, {Count(1234567), "1,234,567"},
		{Rate(0.3), "0.3"}, {Rate(99.94), "99.9"}, {Rate(99.96), "100"}, {Rate(12345.6), "12,346"}, {Rate(math.NaN()), "-"},
		{Share(0, 5), "0%"}, {Share(0, 0), "-"}, {Share(1, 1e6), "<0.01%"}, {Share(1, 80), "1.25%"}, {Share(9.996, 100), "10.0%"}, {Share(1, 1), "100.0%"},
		{Seconds(0.000123456), "123µs"}, {Seconds(1.5), "1.5s"}, {Seconds(math.Inf(1)), "-"}, {Seconds(1e300), "-"},
		{Duration(12345678 * time.Nanosecond), "12.3ms"}, {Duration(2*time.Hour + time.Millisecond), "2h0m0s"},
		{Age(-time.Second), "0s"}, {Age(830 * time.Millisecond), "0.8s"}, {Age(90 * time.Second), "90s"}, {Age(3 * time.Minute), "3m"},
		{Age(5 * time.Hour), "5h"}, {Age(100 * time.Hour), "4d"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %s, want %s", tc.got, tc.want)
		}
	}
}

func TestPairsStandBelowTheirTitles(t *testing.T) {
	request, answer := `say "hi"`, "\x1b[2Jgone\nREQ 1 \u202e"
	lines := []terminal.Line{
		PairHeader(),
		Pair("12:04:05.123", &inspect.Record{Seq: 17, Session: 3, Outcome: "ack", Duration: 0.00123, RequestBytes: 32, AnswerBytes: 40,
			Client: "10.0.0.9:51324", Server: "foo:8001", Why: []string{"slow"}, TraceID: "4bf9"}),
		Pair("1.2s ago", &inspect.Record{Seq: 18, Session: 3, Outcome: "nak_local", Reason: "unavailable", Duration: 3, Wait: 3, Retries: 4,
			RequestBytes: 32, Client: "10.0.0.9:51324"}),
		Pair("", &inspect.Record{Seq: -1, Outcome: "nak", Client: "@\x00", Request: &request, Answer: &answer}),
	}
	var got strings.Builder
	for _, line := range lines {
		got.WriteString(line.Render(0, false) + "\n")
	}
	want := `TIME          OUTCOME      DURATION        SEQ  SESSION  REQ/ANS BYTES  CLIENT                 UPSTREAM               DETAILS
12:04:05.123  ack            1.23ms         17        3          32/40  10.0.0.9:51324         foo:8001               slow trace 4bf9
1.2s ago      nak_local          3s         18        3           32/0  10.0.0.9:51324         -                      unavailable waited 3s retries 4
              nak                0s         -1        0            0/0  @\x00                  -                      "say \"hi\"" -> "\x1b[2Jgone\nREQ 1 \u202e"
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := lines[2].Render(0, true); !strings.Contains(got, "\x1b[1;31mnak_local\x1b[m") {
		t.Errorf("got %q, want the outcome alone in its colour", got)
	}
}
