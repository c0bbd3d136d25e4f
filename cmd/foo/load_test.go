package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/load"
	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/server"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

func TestLoadSucceedsIfEveryAnswerIsRight(t *testing.T) {
	got := execute(t.Context(), "", "load", "-connect", serve(t, server.Options{NAK: 0.5}), "-requests", "500", "-json")
	if got.code != cli.CodeOK || got.stderr != "" || strings.Count(got.stdout, "\n") != 1 {
		t.Fatalf("got %+v, want one line", got)
	}
	var r report
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatal(err)
	}
	if r.Loop != "closed" || r.LatencyFrom != "sending" || !r.Complete || r.Sent != 500 || r.ACKs+r.NAKs != 500 ||
		r.Latency.Count != 500 || r.Throughput <= 0 || r.Connections.Opened != 16 {
		t.Errorf("got %+v", r)
	}
}

func TestLoadReplacesConnectionsIfTold(t *testing.T) {
	got := execute(t.Context(), "", "load", "-connect", serve(t, server.Options{}), "-requests", "50", "-connections", "1",
		"-requests-per-connection", "5", "-json")
	var r report
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil || got.code != cli.CodeOK {
		t.Fatalf("got %+v, %v", got, err)
	}
	if r.Sent != 50 || r.ACKs != 50 || r.Connections.Opened != 10 {
		t.Errorf("got %+v, want 10 connections with 5 requests each", r)
	}
}

func TestLoadFailsOnNAKsIfTold(t *testing.T) {
	got := execute(t.Context(), "", "load", "-connect", serve(t, server.Options{NAK: 1}), "-requests", "5", "-fail-on-nak")
	if want := "foo: 5 answered with a NAK\n"; got.code != cli.CodeFailure || got.stderr != want {
		t.Errorf("got %+v, want code %d and %q", got, cli.CodeFailure, want)
	}
}

func TestLoadFailsOnAWrongAnswer(t *testing.T) {
	address := script(t, func(line string) string {
		return strings.Replace(strings.Replace(line, "REQ", "ACK", 1), "0002.", "0003.", 1)
	})
	got := execute(t.Context(), "", "load", "-connect", address, "-connections", "1", "-requests", "3")
	if want := "foo: 1 answered by the answer of another\n"; got.code != cli.CodeFailure || got.stderr != want {
		t.Errorf("got %+v, want code %d and %q", got, cli.CodeFailure, want)
	}
}

func TestLoadFailsIfNobodyIsThere(t *testing.T) {
	address := reserved(t)
	got := execute(t.Context(), "", "load", "-connect", address, "-connections", "2", "-requests", "5")
	if got.code != cli.CodeFailure || !strings.HasPrefix(got.stderr, "foo: open 2 connections: dial tcp "+address) {
		t.Errorf("got %+v", got)
	}
}

// With --reconnect a lost connection is no fault of its own, else it is.
func TestVerdictSaysWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		o      load.Options
		r      load.Result
		onNAK  bool
		faults string
	}{
		{name: "all well", r: load.Result{Counts: load.Counts{Opened: 1, Sent: 5, ACKs: 3, NAKs: 2}}},
		{name: "nothing done", faults: "no request was sent"},
		{
			name: "everything wrong",
			r: load.Result{
				Counts:       load.Counts{Failed: 1, Lost: 2, Sent: 9, NAKs: 1, Wrong: 3, Unanswered: 4, Unexpected: 5},
				NotSent:      6,
				ConnectError: errors.New("refused"),
			},
			onNAK: true,
			faults: "3 answered by the answer of another, 4 unanswered, 6 not sent, 5 unexpected answers, " +
				"1 answered with a NAK, 1 connections not opened, 2 connections lost, refused",
		},
		{
			name: "reconnected", o: load.Options{Reconnect: true},
			r: load.Result{Counts: load.Counts{Failed: 1, Lost: 2, Sent: 5, ACKs: 5}, ConnectError: errors.New("refused")},
		},
	} {
		got := ""
		if err := verdict(tt.o, &tt.r, tt.onNAK); err != nil {
			got = err.Error()
		}
		if got != tt.faults {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.faults)
		}
	}
}

func TestReportIsATable(t *testing.T) {
	r := load.Result{
		Counts: load.Counts{
			Opened: 16, Lost: 1, Sent: 1234567, ACKs: 1234000, NAKs: 560, Wrong: 3, Unanswered: 4, Unexpected: 5,
			BytesSent: 54320948, BytesReceived: 54320000,
		},
		NAKTexts:  map[string]int64{"upstream unavailable": 500, "a\x00b": 60},
		Elapsed:   10*time.Second + 4*time.Millisecond,
		Overslept: 1100 * time.Microsecond,
	}
	for range 999 {
		r.Latency.Observe(120 * time.Microsecond)
	}
	r.Latency.Observe(3456789 * time.Nanosecond)
	var got bytes.Buffer
	if err := newReport(load.Options{Connections: 16, Pipeline: 32, Size: 32, Rate: 2500}, &r).print(&got); err != nil {
		t.Fatal(err)
	}
	want := `open loop, 2500 requests/s: 16 connections, pipeline 32, 32 bytes of Data

connections   opened 16            failed 0       lost 1
requests      sent 1,234,567       unanswered 4   not sent 0
answers       ACK 1,234,000        NAK 560        wrong 3                 unexpected 5
throughput    123,406 requests/s   for 10s        bytes sent 54,320,948   received 54,320,000
latency       p50 120µs            p90 120µs      p99 120µs               p99.9 120µs   max 3.46ms   mean 123µs

Latency counts from the time of scheduled sending. The sender itself was up to 1.1ms late,
which is not part of it.
500 NAKs say "upstream unavailable".
60 NAKs say "a\x00b".
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestProgressTellsTheRateOfTheLastSecond(t *testing.T) {
	var got strings.Builder
	show := progressPrinter(&got)
	show(load.Progress{Elapsed: time.Second, Counts: load.Counts{Sent: 1010, ACKs: 1000}})
	show(load.Progress{Elapsed: 3 * time.Second, Counts: load.Counts{Sent: 4010, ACKs: 3900, NAKs: 99, Unanswered: 1}})
	want := "   1s  1,000 requests/s  10 outstanding  0 NAK  0 wrong  0 unanswered\n" +
		"   3s  1,500 requests/s  10 outstanding  99 NAK  0 wrong  1 unanswered\n"
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNumbersAreEasyToRead(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -123: "-123"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 999: "999ns", 1234: "1.23µs", 999_900: "1ms", 123_456_789: "123ms", 12_345_678_901: "12.3s",
	} {
		if got := short(d); got != want {
			t.Errorf("%d ns: got %s, want %s", d, got, want)
		}
	}
}
