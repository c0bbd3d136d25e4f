package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

func newTestLogger(t *testing.T, o LogOptions) (*Logger, *strings.Builder) {
	t.Helper()
	var out strings.Builder
	o.Writer = &out
	l, err := NewLogger(o)
	if err != nil {
		t.Fatal(err)
	}
	return l, &out
}

// TestLogLevels says which calls each level shows.
func TestLogLevels(t *testing.T) {
	l, out := newTestLogger(t, LogOptions{})
	derived := l.WithName("proxy").WithValues("listener", "default")
	for level, want := range map[string]string{
		"error": "error", "warn": "error", "info": "error info", "debug": "error info debug",
	} {
		if err := l.SetLevel(level); err != nil {
			t.Fatal(err)
		}
		out.Reset()
		derived.Error(errors.New("refused"), "error")
		derived.Info("info")
		derived.V(1).Info("debug")
		derived.V(2).Info("never")
		var got []string
		for line := range strings.Lines(out.String()) {
			var record struct{ Level, Msg string }
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if record.Level != record.Msg {
				t.Errorf("a call for %s is logged as %s", record.Msg, record.Level)
			}
			got = append(got, record.Msg)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("level %s shows %v, want %s", level, got, want)
		}
	}
}

func TestLoggerCountsTheLinesThatAreShown(t *testing.T) {
	l, _ := newTestLogger(t, LogOptions{Level: "debug"})
	derived := l.WithName("proxy").WithValues("listener", "default")
	for _, level := range []string{"debug", "info", "error"} {
		if err := l.SetLevel(level); err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"json", "console"} {
			if err := l.SetFormat(format); err != nil {
				t.Fatal(err)
			}
			derived.V(1).Info("debug")
			l.Info("info")
			derived.Error(errors.New("refused"), "error")
		}
	}
	if got, want := l.Lines(), (LogLines{Debug: 2, Info: 4, Error: 6}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLogRecordsInJSON(t *testing.T) {
	l, out := newTestLogger(t, LogOptions{Level: "info", Format: "json"})
	start := time.Now()
	l.WithName("proxy").WithName("relay").WithValues("listener", "default").
		Error(errors.New("refused"), "cannot reach upstream", "after", 1500*time.Millisecond)
	var record map[string]string
	if err := json.Unmarshal([]byte(out.String()), &record); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	when, err := time.Parse(time.RFC3339Nano, record["ts"])
	if err != nil || when.Before(start.Truncate(0)) || !strings.HasSuffix(record["ts"], "Z") {
		t.Errorf("got ts %q, want the time in UTC", record["ts"])
	}
	delete(record, "ts")
	want := map[string]string{
		"level": "error", "logger": "proxy.relay", "msg": "cannot reach upstream",
		"listener": "default", "after": "1.5s", "error": "refused",
	}
	if fmt.Sprint(record) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", record, want)
	}
}

func TestLogFormatChangesForDerivedLoggersToo(t *testing.T) {
	l, out := newTestLogger(t, LogOptions{Format: "console"})
	derived := l.WithName("proxy").WithValues("listener", "default")
	for _, c := range []struct {
		format string
		begin  string
	}{{"console", "20"}, {"json", `{"`}, {"console", "20"}} {
		if err := l.SetFormat(c.format); err != nil {
			t.Fatal(err)
		}
		out.Reset()
		derived.Info("started", "port", 8002)
		got := out.String()
		if !strings.HasPrefix(got, c.begin) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: got %q", c.format, got)
		}
		for _, part := range []string{"proxy", "started", `"listener":`, `"default"`, `"port":`, "8002"} {
			if !strings.Contains(strings.ReplaceAll(got, ": ", ":"), part) {
				t.Errorf("%s: %s is missing in %q", c.format, part, got)
			}
		}
	}
}

func TestLoggerRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, o := range []LogOptions{{Level: "loud"}, {Format: "xml"}} {
		if _, err := NewLogger(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	l, out := newTestLogger(t, LogOptions{})
	if l.SetLevel("INFO") == nil || l.SetFormat("") == nil {
		t.Error("unknown level or format is accepted")
	}
	l.Info("still there")
	if !strings.HasPrefix(out.String(), "{") {
		t.Errorf("a refused setting changed something: %q", out)
	}
}

func TestLoggerMayBeChangedWhileInUse(t *testing.T) {
	l, err := NewLogger(LogOptions{Writer: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 200 {
				l.WithValues("i", i).Info("working")
			}
		})
	}
	for i := range 200 {
		if err := errors.Join(
			l.SetLevel([]string{"info", "error"}[i%2]),
			l.SetFormat([]string{"json", "console"}[i%2]),
		); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

func TestLimitedLogsTheFirstOfAStormAndCountsTheRest(t *testing.T) {
	now := time.Duration(0)
	l, out := newTestLogger(t, LogOptions{})
	limited := NewLimited(l.Logger, time.Minute, func() time.Duration { return now })
	report := func(key string) string {
		out.Reset()
		limited.Error(key, errors.New("too many open files"), "cannot accept", "listener", key)
		return out.String()
	}
	if got := report("a"); !strings.Contains(got, "cannot accept") || strings.Contains(got, "suppressed") {
		t.Errorf("the first one: got %q", got)
	}
	for range 3 {
		now += 19 * time.Second
		if got := report("a"); got != "" {
			t.Errorf("after %v: got %q, want silence", now, got)
		}
	}
	if got := report("b"); !strings.Contains(got, `"listener":"b"`) {
		t.Errorf("another key: got %q", got)
	}
	now = time.Minute
	if got := report("a"); !strings.Contains(got, `"suppressed":3`) {
		t.Errorf("a minute later: got %q, want 3 suppressed", got)
	}
	now = 2 * time.Minute
	if got := report("a"); got == "" || strings.Contains(got, "suppressed") {
		t.Errorf("two minutes later: got %q", got)
	}
}

func TestLimitedLeavesTheCallersSliceAlone(t *testing.T) {
	now := time.Duration(0)
	limited := NewLimited(logr.Discard(), time.Second, func() time.Duration { return now })
	values := make([]any, 2, 4)
	values[0], values[1] = "listener", "a"
	for range 3 {
		limited.Error("a", nil, "x", values...)
		now += 600 * time.Millisecond
	}
	if got := values[:4]; got[2] != nil || got[3] != nil {
		t.Errorf("got %v", got)
	}
}
