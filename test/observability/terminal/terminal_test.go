//go:build unix

package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
	"github.com/foo-protocol/foo-sidecar/internal/programs/programstest"
)

// built are the programs under test.
var built programstest.Programs

func TestMain(m *testing.M) { os.Exit(programstest.Main(m, &built)) }

// sidecarFor starts a sidecar in front of an upstream. What it says of itself
// does not change with checkpoints, because it has none.
func sidecarFor(t *testing.T, upstream, admin string) *programstest.Sidecar {
	t.Helper()
	return built.Sidecar(t, upstream, "--http", admin, "--recovery-path", "")
}

func decoded(t *testing.T, line string) (doc map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &doc); err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	return doc
}

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
	s := sidecarFor(t, built.Serve(t, "--nak", "0.2").Address, "127.0.0.1:0")
	c := newConsole(t, 150, 45)
	top := c.start("top", s.Admin)
	c.match(`requests +0 in all`)

	client := built.Load(t, s.Address, "--rate", "500", "--requests", "2000", "--connections", "4")
	c.match(`requests/s +[1-9]\d* in 1s`)
	some := number(t, c.match(`requests +([1-9][\d,]*) in all`)[1])
	c.await("the number of requests to move", func(screen string) bool {
		_, rest, _ := strings.Cut(screen, "\nrequests ")
		fields := strings.Fields(rest)
		return len(fields) > 0 && number(t, fields[0]) > some
	})
	c.match(`last refused or unanswered`)

	r := client.Report()
	c.match(`requests +2,000 in all  0 in flight, oldest -`)
	shown := c.match(`outcomes +([\d,]+) ACK  ([\d,]+) NAK  0 local NAK  0 unanswered`)
	connections := c.match(`connections +0 open  ([\d,]+) opened`)
	stats := decoded(t, s.Get("/stats"))
	got := []any{number(t, shown[1]), number(t, shown[2]), number(t, connections[1])}
	want := []any{stats["acked"], stats["naked"], stats["connections"].(map[string]any)["opened"]}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("top differs from /stats (-want +got):\n%s", diff)
	}
	if r.ACKs != int64(number(t, shown[1])) || r.NAKs != int64(number(t, shown[2])) {
		t.Errorf("top shows %s ACK and %s NAK, the client counted %+v", shown[1], shown[2], r)
	}
	c.press("q")
	top.ExpectExit(0)
	c.expectClean()
}

func TestTopFollowsTheSizeOfTheTerminal(t *testing.T) {
	s := sidecarFor(t, built.Serve(t).Address, "127.0.0.1:0")
	c := newConsole(t, 150, 45)
	top := c.start("top", s.Admin)
	for _, size := range []struct{ columns, rows int }{{150, 45}, {60, 18}, {30, 6}, {200, 60}} {
		c.resize(size.columns, size.rows)
		c.await(fmt.Sprintf("a screen of %v", size), func(screen string) bool {
			lines := strings.Split(strings.TrimSuffix(screen, "\n"), "\n")
			return len(lines) == size.rows && strings.HasPrefix(lines[0], "sidecar top every 1s") &&
				strings.HasPrefix(lines[1], "SIDECAR") && strings.HasPrefix(lines[2], s.Admin) &&
				strings.HasPrefix(lines[size.rows-1], "q quit")
		})
	}
	c.press("q")
	top.ExpectExit(0)
	// What stood there before is not looked at: the emulator loses it when it
	// shrinks.
}

func TestTopLeavesTheTerminalAsItWas(t *testing.T) {
	s := sidecarFor(t, built.Serve(t).Address, "127.0.0.1:0")
	for name, leave := range map[string]func(c *console, top *programstest.Process){
		"q":      func(c *console, _ *programstest.Process) { c.press("q") },
		"Ctrl-C": func(c *console, _ *programstest.Process) { c.press("\x03") },
		"INT":    func(_ *console, top *programstest.Process) { top.Signal(syscall.SIGINT) },
		"TERM":   func(_ *console, top *programstest.Process) { top.Signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newConsole(t, 100, 30)
			top := c.start("top", s.Admin)
			c.match(`config +generation 1`)
			leave(c, top)
			top.ExpectExit(0)
			c.expectClean()
		})
	}
}

func TestTopOutlivesItsSidecars(t *testing.T) {
	upstream := built.Serve(t).Address
	socket := filepath.Join(t.TempDir(), "admin.sock")
	stays, goes := sidecarFor(t, upstream, "127.0.0.1:0"), sidecarFor(t, upstream, "unix:"+socket)
	c := newConsole(t, 150, 45)
	top := c.start("top", stays.Admin, "unix:"+socket, "--sort", "name")
	row := func(state string) string { return `(?m)^unix:` + socket + ` +` + state }
	c.match(row("ready"))
	goes.Signal(syscall.SIGTERM)
	goes.ExpectExit(0)
	c.match(row(`last seen .* ago: .*is the sidecar running`))
	c.match(`(?m)^` + stays.Admin + ` +ready`)
	sidecarFor(t, upstream, "unix:"+socket)
	c.match(row("ready"))
	// Both rows can be selected.
	c.press("\x1b[B")
	c.match(`\nunix:` + socket + `  \S+  up `)
	c.press("\x1b[A")
	c.match(`\n` + stays.Admin + `  \S+  up `)
	c.press("\x03")
	top.ExpectExit(0)
	c.expectClean()
}

func TestTapShowsARefusalWithinTheStream(t *testing.T) {
	s := sidecarFor(t, built.Serve(t, "--nak", "0.1").Address, "127.0.0.1:0")
	client := built.Load(t, s.Address, "--rate", "200", "--duration", programs.Patience.String())
	c := newConsole(t, 150, 45)
	tap := c.start("tap", s.Admin, "--outcome", "nak", "--count", "3")
	tap.ExpectExit(0)
	c.match(`TIME +OUTCOME +DURATION(.*\n\d\d:\d\d:\d\d\.\d\d\d  nak  +[\d.]+[µm]?s ){3}`)
	if !strings.Contains(c.raw.String(), "\x1b[33mnak\x1b[m") {
		t.Errorf("refusals have no colour: %q", c.raw)
	}
	// Without an end of its own, it ends when somebody has seen enough.
	tap = c.start("tap", s.Admin, "--rate", "20")
	c.match(`  ack  `)
	c.press("\x03")
	tap.ExpectExit(0)
	client.Signal(syscall.SIGINT)
	client.Report()
}

// Each pair is shown once, with the outcome that the client saw.
func TestTapShowsAllPairs(t *testing.T) {
	const requests = 200
	s := sidecarFor(t, built.Serve(t, "--nak", "0.3").Address, "127.0.0.1:0")
	tap := built.Start(t, "sidecar", "tap", s.Admin, "--json", "--rate", "1000", "--count", strconv.Itoa(requests))
	// A pair that is seen proves that somebody watches.
	first := built.Load(t, s.Address, "--requests", "1")
	for first.Report(); tap.Stdout.String() == ""; first.Report() {
		first = built.Load(t, s.Address, "--requests", "1")
	}
	seen := strings.Count(tap.Stdout.String(), "\n")
	r := built.Load(t, s.Address, "--rate", "400", "--connections", "3", "--requests", strconv.Itoa(requests-seen)).Report()
	tap.ExpectExit(0)

	type pair struct {
		Session, Seq int64
		Outcome      string
		Duration     float64 `json:"duration_seconds"`
	}
	pairs, naks := map[[2]int64]bool{}, int64(0)
	for i, line := range bytes.Split(bytes.TrimSpace([]byte(tap.Stdout.String())), []byte("\n")) {
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
	s := sidecarFor(t, built.Serve(t, "--nak", "0.5").Address, "127.0.0.1:0")
	built.Load(t, s.Address, "--requests", "100").Report()
	t.Setenv("FOO_SIDECAR_HTTP", s.Admin)
	c := newConsole(t, 100, 30)
	c.start("stats").ExpectExit(0)
	c.tty.WriteString("what comes next\n")
	if _, err := c.raw.Line(t.Context(), "what comes next"); err != nil {
		t.Fatal(err)
	}
	shown := strings.TrimSpace(strings.Split(c.raw.String(), "\n")[1])

	s.Signal(syscall.SIGUSR2)
	printed := s.Stdout.Line("msg_total")
	if shown[:20] != printed[:20] {
		t.Errorf("got %s, want it to begin as %s", shown, printed)
	}
	got, signalled, want := still(decoded(t, shown)), still(decoded(t, printed)), still(decoded(t, s.Get("/stats")))
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
	s := sidecarFor(t, built.Serve(t).Address, "127.0.0.1:0")
	t.Setenv("NO_COLOR", "1")
	c := newConsole(t, 100, 30)
	top := c.start("top", s.Admin)
	c.match(`ready`)
	c.press("q")
	top.ExpectExit(0)
	c.expectClean()
	for _, code := range []string{"\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[m"} {
		if strings.Contains(c.raw.String(), code) {
			t.Errorf("%q was written: %q", code, c.raw)
		}
	}
}
