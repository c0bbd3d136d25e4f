package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

// lineChannel is a writer that sends what it is given.
type lineChannel chan string

func (c lineChannel) Write(line []byte) (int, error) {
	c <- string(line)
	return len(line), nil
}

func TestLimitedLogsTheFirstOfAStormAndCountsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := make(lineChannel, 10)
		l, err := NewLogger(LogOptions{Writer: lines})
		if err != nil {
			t.Fatal(err)
		}
		limited := NewLimited(l.Logger, time.Minute)
		report := func(key string, number int) {
			limited.Error(key, errors.New("too many open files"), "cannot accept", "listener", key, "number", number)
		}
		// expect compares what was logged since the last call, after some time.
		expect := func(after time.Duration, wanted ...string) {
			t.Helper()
			time.Sleep(after) // virtual
			synctest.Wait()
			if len(lines) != len(wanted) {
				t.Fatalf("got %d lines, want %d", len(lines), len(wanted))
			}
			for _, want := range wanted {
				if line := <-lines; !strings.Contains(line, want) {
					t.Errorf("got %q, want %q in it", line, want)
				}
			}
		}
		report("a", 1)
		expect(0, `"listener":"a","number":1,"error"`)
		for number := range 3 {
			report("a", number+2)
			expect(19 * time.Second)
		}
		report("b", 1)
		expect(0, `"listener":"b","number":1,"error"`)
		expect(3*time.Second, `"listener":"a","number":4,"suppressed":2,"error"`)
		report("a", 5)
		expect(58 * time.Second) // b is over
		expect(2*time.Second, `"listener":"a","number":5,"error"`)
		expect(time.Hour)
		report("a", 6)
		expect(0, `"listener":"a","number":6,"error"`)
		time.Sleep(time.Minute) // virtual
	})
}

func TestLimitedLeavesTheCallersSliceAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limited := NewLimited(logr.Discard(), time.Second)
		values := make([]any, 2, 4)
		values[0], values[1] = "listener", "a"
		for range 3 {
			limited.Error("a", nil, "x", values...)
			time.Sleep(600 * time.Millisecond) // virtual
		}
		if got := values[:4]; got[2] != nil || got[3] != nil {
			t.Errorf("got %v", got)
		}
		time.Sleep(2 * time.Second) // virtual
	})
}
