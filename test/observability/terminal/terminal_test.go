//go:build unix

package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// number reads a number as top shows it.
func number(t *testing.T, s string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTopMovesAndAgreesWithStats(t *testing.T) {
	s := sidecarFor(t, serve(t, "-nak", "0.2"), "127.0.0.1:0")
	c := newConsole(t, 150, 45)
	top := c.start("top", s.admin)
	c.match(`requests +0 in all`)

	client := load(t, s.address, "-rate", "500", "-requests", "2000", "-connections", "4")
	c.match(`requests/s +[1-9]\d* in 1s`)
	some := number(t, c.match(`requests +([1-9][\d,]*) in all`)[1])
	c.await("the number of requests to move", func(screen string) bool {
		_, rest, _ := strings.Cut(screen, "\nrequests ")
		fields := strings.Fields(rest)
		return len(fields) > 0 && number(t, fields[0]) > some
	})
	c.match(`last refused or unanswered`)

	r := client.report()
	c.match(`requests +2,000 in all  0 in flight, oldest -`)
	shown := c.match(`outcomes +([\d,]+) ACK  ([\d,]+) NAK  0 local NAK  0 unanswered`)
	connections := c.match(`connections +0 open  ([\d,]+) opened`)
	stats := s.stats()
	got := []any{number(t, shown[1]), number(t, shown[2]), number(t, connections[1])}
	want := []any{stats["acked"], stats["naked"], stats["connections"].(map[string]any)["opened"]}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("top differs from /stats (-want +got):\n%s", diff)
	}
	if r.ACKs != int64(number(t, shown[1])) || r.NAKs != int64(number(t, shown[2])) {
		t.Errorf("top shows %s ACK and %s NAK, the client counted %+v", shown[1], shown[2], r)
	}
	c.press("q")
	top.expectSuccess()
	c.expectClean()
}

func TestTopFollowsTheSizeOfTheTerminal(t *testing.T) {
	s := sidecarFor(t, serve(t), "127.0.0.1:0")
	c := newConsole(t, 150, 45)
	top := c.start("top", s.admin)
	for _, size := range []struct{ columns, rows int }{{150, 45}, {60, 18}, {30, 6}, {200, 60}} {
		c.resize(size.columns, size.rows)
		c.await(fmt.Sprintf("a screen of %v", size), func(screen string) bool {
			lines := strings.Split(strings.TrimSuffix(screen, "\n"), "\n")
			return len(lines) == size.rows && strings.HasPrefix(lines[0], "sidecar top every 1s") &&
				strings.HasPrefix(lines[1], "SIDECAR") && strings.HasPrefix(lines[2], s.admin) &&
				strings.HasPrefix(lines[size.rows-1], "q quit")
		})
	}
	c.press("q")
	top.expectSuccess()
	// What stood there before is not looked at: the emulator loses it when it
	// shrinks.
}

func TestTopLeavesTheTerminalAsItWas(t *testing.T) {
	s := sidecarFor(t, serve(t), "127.0.0.1:0")
	for name, leave := range map[string]func(c *console, top *process){
		"q":      func(c *console, _ *process) { c.press("q") },
		"Ctrl-C": func(c *console, _ *process) { c.press("\x03") },
		"INT":    func(_ *console, top *process) { top.signal(syscall.SIGINT) },
		"TERM":   func(_ *console, top *process) { top.signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newConsole(t, 100, 30)
			top := c.start("top", s.admin)
			c.match(`config +generation 1`)
			leave(c, top)
			top.expectSuccess()
			c.expectClean()
		})
	}
}

func TestTopOutlivesItsSidecars(t *testing.T) {
	upstream := serve(t)
	socket := filepath.Join(t.TempDir(), "admin.sock")
	stays, goes := sidecarFor(t, upstream, "127.0.0.1:0"), sidecarFor(t, upstream, "unix:"+socket)
	c := newConsole(t, 150, 45)
	top := c.start("top", stays.admin, "unix:"+socket, "--sort", "name")
	row := func(state string) string { return `(?m)^unix:` + socket + ` +` + state }
	c.match(row("ready"))
	goes.signal(syscall.SIGTERM)
	goes.expectSuccess()
	c.match(row(`last seen .* ago: .*is the sidecar running`))
	c.match(`(?m)^` + stays.admin + ` +ready`)
	sidecarFor(t, upstream, "unix:"+socket)
	c.match(row("ready"))
	// Both rows can be selected.
	c.press("\x1b[B")
	c.match(`\nunix:` + socket + `  \S+  up `)
	c.press("\x1b[A")
	c.match(`\n` + stays.admin + `  \S+  up `)
	c.press("\x03")
	top.expectSuccess()
	c.expectClean()
}

func TestTapShowsARefusalWithinTheStream(t *testing.T) {
	s := sidecarFor(t, serve(t, "-nak", "0.1"), "127.0.0.1:0")
	client := load(t, s.address, "-rate", "200", "-duration", patience.String())
	c := newConsole(t, 150, 45)
	tap := c.start("tap", s.admin, "--outcome", "nak", "--count", "3")
	tap.expectSuccess()
	c.match(`TIME +OUTCOME +DURATION(.*\n\d\d:\d\d:\d\d\.\d\d\d  nak  +[\d.]+[µm]?s ){3}`)
	if !strings.Contains(c.raw.String(), "\x1b[33mnak\x1b[m") {
		t.Errorf("refusals have no colour: %q", c.raw)
	}
	// Without an end of its own, it ends when somebody has seen enough.
	tap = c.start("tap", s.admin, "--rate", "20")
	c.match(`  ack  `)
	c.press("\x03")
	tap.expectSuccess()
	client.signal(syscall.SIGINT)
	client.report()
}

// Each pair is shown once, with the outcome that the client saw.
func TestTapShowsAllPairs(t *testing.T) {
	const requests = 200
	s := sidecarFor(t, serve(t, "-nak", "0.3"), "127.0.0.1:0")
	tap := start(t, "sidecar", "tap", s.admin, "--json", "--rate", "1000", "--count", strconv.Itoa(requests))
	// A pair that is seen proves that somebody watches.
	first := load(t, s.address, "-requests", "1")
	for first.report(); tap.stdout.String() == ""; first.report() {
		first = load(t, s.address, "-requests", "1")
	}
	seen := strings.Count(tap.stdout.String(), "\n")
	r := load(t, s.address, "-rate", "400", "-connections", "3", "-requests", strconv.Itoa(requests-seen)).report()
	tap.expectSuccess()

	type pair struct {
		Session, Seq int64
		Outcome      string
		Duration     float64 `json:"duration_seconds"`
	}
	pairs, naks := map[[2]int64]bool{}, int64(0)
	for i, line := range bytes.Split(bytes.TrimSpace([]byte(tap.stdout.String())), []byte("\n")) {
		var p pair
		if err := json.Unmarshal(line, &p); err != nil || p.Duration <= 0 {
			t.Fatalf("%v: %s", err, line)
		}
		pairs[[2]int64{p.Session, p.Seq}] = true
		if i >= seen && p.Outcome == "nak" {
			naks++
		}
	}
	if len(pairs) != requests || naks != r.NAKs {
		t.Errorf("got %d pairs, %d of them refused, want %d and %d", len(pairs), naks, requests, r.NAKs)
	}
}

func TestStatsIsWhatTheSidecarPrints(t *testing.T) {
	s := sidecarFor(t, serve(t, "-nak", "0.5"), "127.0.0.1:0")
	load(t, s.address, "-requests", "100").report()
	t.Setenv("FOO_SIDECAR_HTTP", s.admin)
	c := newConsole(t, 100, 30)
	c.start("stats").expectSuccess()
	c.tty.WriteString("what comes next\n")
	c.raw.line(t, "what comes next")
	shown := strings.TrimSpace(strings.Split(c.raw.String(), "\n")[1])

	s.signal(syscall.SIGUSR2)
	printed := s.stdout.line(t, "msg_total")
	if shown[:20] != printed[:20] {
		t.Errorf("got %s, want it to begin as %s", shown, printed)
	}
	got, signalled, want := still(decoded(t, shown)), still(decoded(t, printed)), still(s.stats())
	if got["msg_req"] != 100.0 {
		t.Errorf("got %v requests, want 100", got["msg_req"])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stats differs from /stats (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(signalled, got); diff != "" {
		t.Errorf("stats differs from what the signal prints (-want +got):\n%s", diff)
	}
}

// still takes from statistics what changes while nothing happens.
func still(stats map[string]any) map[string]any {
	for key, value := range stats {
		switch {
		case key == "time" || key == "uptime_seconds" || strings.Contains(key, "_rate_") || strings.HasPrefix(key, "window_coverage"):
			delete(stats, key)
		case key == "listeners":
			for _, l := range value.([]any) {
				still(l.(map[string]any))
			}
		}
	}
	return stats
}

func TestNoColourIfNotWanted(t *testing.T) {
	s := sidecarFor(t, serve(t), "127.0.0.1:0")
	t.Setenv("NO_COLOR", "1")
	c := newConsole(t, 100, 30)
	top := c.start("top", s.admin)
	c.match(`ready`)
	c.press("q")
	top.expectSuccess()
	c.expectClean()
	for _, code := range []string{"\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[m"} {
		if strings.Contains(c.raw.String(), code) {
			t.Errorf("%q was written: %q", code, c.raw)
		}
	}
}
