//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
	"github.com/foo-protocol/foo-sidecar/internal/programs/programstest"
)

// saved returns the number of requests in a checkpoint.
func saved(t *testing.T, path string) int64 {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	var file struct {
		State struct {
			Totals map[string]map[string]int64
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatalf("the checkpoint is broken: %v: %s", err, data)
	}
	for name, n := range file.State.Totals["default"] {
		if name == "requests" {
			return n
		}
	}
	return 0
}

// TestKillUnderLoadLosesAnIntervalAtMost kills the sidecar without warning,
// again and again. What its last checkpoint held is back each time, and adds
// up.
func TestKillUnderLoadLosesAnIntervalAtMost(t *testing.T) {
	server := built.Serve(t)
	recovery := filepath.Join(t.TempDir(), "recovery.json")
	for life := int64(1); life <= 4; life++ {
		s := built.Sidecar(t, server.Address, "--recovery-path", recovery)
		st := s.Stats()
		if life > 1 && (st.Recovered == nil || st.Recovered.Restarts != 2*(life-1)) {
			t.Errorf("life %d: recovered %+v", life, st.Recovered)
		}
		before := st.MsgReq
		built.Load(t, s.Address, "--connections", "10", "--pipeline", "10", "--rate", "5000", "--duration", "1m")
		var atSave programs.Stats
		s.Await("a checkpoint with new requests", func(st programs.Stats) bool {
			atSave = st
			return saved(t, recovery) > before
		})
		s.Signal(syscall.SIGKILL)
		s.Wait()
		kept := saved(t, recovery)
		if kept < before {
			t.Fatalf("life %d: the checkpoint has %d requests, it had %d", life, kept, before)
		}
		again := built.Sidecar(t, server.Address, "--recovery-path", recovery)
		st = again.Stats()
		if st.MsgReq != kept || st.InFlight != 0 || st.Connections.Open != 0 || st.MsgReq != st.Acked+st.Naked+st.NakLocal+st.Unanswered {
			t.Errorf("life %d: recovered %+v, the checkpoint has %d requests", life, st, kept)
		}
		if st.Rate10s == 0 && atSave.Rate10s > 0 {
			t.Errorf("life %d: the window of the last 10 s is empty", life)
		}
		again.Signal(syscall.SIGTERM)
		again.ExpectExit(0)
		if got := saved(t, recovery); got != kept {
			t.Errorf("life %d: %d requests saved at the end, want %d", life, got, kept)
		}
	}
}

// TestTermUnderLoadLosesNothing ends the sidecar while clients talk. Every
// answer that a client got was counted and saved.
func TestTermUnderLoadLosesNothing(t *testing.T) {
	server := built.Serve(t, "--delay", "5ms", "--nak", "0.1")
	recovery := filepath.Join(t.TempDir(), "recovery.json")
	s := built.Sidecar(t, server.Address, "--recovery-path", recovery)
	client := built.Load(t, s.Address, "--connections", "50", "--pipeline", "20", "--duration", "1m", "--grace", "1s")
	s.Await("traffic", func(st programs.Stats) bool { return st.MsgAck > 5000 })
	s.Signal(syscall.SIGTERM)
	s.ExpectExit(0)
	client.Signal(syscall.SIGINT)
	r := client.Report()
	again := built.Sidecar(t, server.Address, "--recovery-path", recovery)
	st := again.Stats()
	if st.MsgAck != r.ACKs || st.MsgNak+st.NakLocal != r.NAKs {
		t.Errorf("saved %+v, the client counted %+v", st, r)
	}
	if st.Unanswered > r.Unanswered || st.MsgReq > r.Sent || r.Wrong != 0 || r.Unexpected != 0 {
		t.Errorf("saved %+v, the client counted %+v", st, r)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	server := built.Serve(t, "--delay", "10m")
	s := built.Sidecar(t, server.Address)
	built.Start(t, "foo", "call", "--connect", s.Address, "--timeout", "10m", "hello")
	s.Await("the request", func(st programs.Stats) bool { return st.InFlight == 1 })
	s.Signal(syscall.SIGTERM)
	s.Stderr.Line(`"draining"`)
	if status := s.Get("/status"); !strings.Contains(status, `"draining": true`) || !strings.Contains(status, `"status": "not ready"`) {
		t.Errorf("/status while draining: %s", status)
	}
	s.Signal(syscall.SIGTERM)
	s.ExpectExit(3)
}

func TestStatisticsOnSignalAreWholeLinesHoweverFastItComes(t *testing.T) {
	server := built.Serve(t)
	s := built.Sidecar(t, server.Address)
	built.Load(t, s.Address, "--connections", "4", "--pipeline", "50", "--duration", "1m")
	s.Await("traffic", func(st programs.Stats) bool { return st.MsgAck > 100 })
	for range 2000 {
		s.Signal(syscall.SIGUSR2)
	}
	s.Stdout.Line("msg_total")
	s.Signal(syscall.SIGTERM)
	s.ExpectExit(0)
	var last programs.Stats
	n := 0
	for line := range strings.Lines(s.Stdout.String()) {
		var st programs.Stats
		if err := json.Unmarshal([]byte(line), &st); err != nil || !strings.HasPrefix(line, `{"msg_total":`) || !strings.HasSuffix(line, "}\n") {
			t.Fatalf("not a line of statistics: %v: %s", err, line)
		}
		if st.MsgTotal < last.MsgTotal {
			t.Errorf("msg_total went from %d to %d", last.MsgTotal, st.MsgTotal)
		}
		last = st
		n++
	}
	t.Logf("%d lines for 2000 signals", n)
}

// writingTo starts a sidecar that listens on a socket in dir and writes to a file.
func writingTo(t *testing.T, out *os.File, dir, upstream string) *programstest.Process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), built.Path("sidecar"), "--listen", "unix:"+dir+"/s", "--http", "unix:"+dir+"/admin",
		"--forward", upstream, "--recovery-path", "")
	cmd.Stdout, cmd.Stderr = out, out
	return built.StartCommand(t, cmd)
}

// TestReaderOfTheStatisticsMayLeave gives the sidecar pipes that nobody reads
// any more.
func TestReaderOfTheStatisticsMayLeave(t *testing.T) {
	server := built.Serve(t)
	s := built.Sidecar(t, server.Address)
	gone, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	dir := t.TempDir()
	mute := writingTo(t, out, dir, s.Address)
	if _, err := gone.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	gone.Close()
	for range 3 {
		mute.Signal(syscall.SIGUSR2)
		if r := built.Load(t, "unix:"+dir+"/s", "--requests", "100", "--reconnect", "--duration", "30s").Report(); r.ACKs != 100 {
			t.Fatalf("the client counted %+v", r)
		}
	}
}

// TestNobodyHasToReadTheOutput gives the sidecar a pipe that is full.
func TestNobodyHasToReadTheOutput(t *testing.T) {
	server := built.Serve(t)
	unread, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	defer out.Close()
	dir := t.TempDir()
	mute := writingTo(t, out, dir, server.Address)
	if _, err := unread.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	// More than any pipe holds, over and over.
	for range 50 {
		mute.Signal(syscall.SIGUSR2)
		if r := built.Load(t, "unix:"+dir+"/s", "--requests", "10", "--connections", "1").Report(); r.ACKs != 10 {
			t.Fatalf("the client counted %+v", r)
		}
	}
	mute.Signal(syscall.SIGTERM)
	mute.ExpectExit(0)
}

// TestMistakeInAFlagIsNotHiddenByTheLastGoodConfiguration starts a second time
// where a good configuration was kept.
func TestMistakeInAFlagIsNotHiddenByTheLastGoodConfiguration(t *testing.T) {
	recovery := filepath.Join(t.TempDir(), "r")
	s := built.Sidecar(t, "127.0.0.1:1", "--recovery-path", recovery)
	s.Signal(syscall.SIGTERM)
	s.ExpectExit(0)
	again := built.Start(t, "sidecar", "--listen", "8002", "--recovery-path", recovery)
	again.ExpectExit(2)
	if !strings.Contains(again.Stderr.String(), "--listen") {
		t.Errorf("the error does not name the flag: %s", again.Stderr)
	}
}

func TestKillCommandOfTheImage(t *testing.T) {
	s := built.Sidecar(t, "127.0.0.1:1")
	kill := filepath.Join(t.TempDir(), "kill")
	if err := os.Symlink(built.Path("sidecar"), kill); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(kill, "-USR2", strconv.Itoa(s.PID())).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("kill: %v: %s", err, out)
	}
	s.Stdout.Line(`{"msg_total":0,`)
}

func TestHangupReloads(t *testing.T) {
	config := programstest.Configuration(t, "reload: {pollInterval: 1h}")
	s := built.Sidecar(t, "127.0.0.1:1", "--config", config)
	s.Signal(syscall.SIGHUP)
	programstest.Configure(t, config, "reload: {pollInterval: 1h}\nlog: {level: debug, format: console}")
	s.Stderr.Line("configuration reloaded")
	if got := s.Metric("foo_sidecar_config_generation"); got != "2" {
		t.Errorf("generation %s, want 2", got)
	}
}

func TestInvalidConfigurationNamesEverythingThatIsWrong(t *testing.T) {
	config := programstest.Configuration(t, "listeners: [{idelTimeout: 5s}]\ndrain: {timeout: soon}")
	for _, args := range [][]string{{"check", config}, {"--config", config, "--recovery-path", ""}} {
		p := built.Start(t, "sidecar", args...)
		p.ExpectExit(2)
		for _, part := range []string{config, "listeners[0].idelTimeout", "did you mean idleTimeout", "drain.timeout"} {
			if !strings.Contains(p.Stderr.String(), part) {
				t.Errorf("%v: the error does not say %q: %s", args, part, p.Stderr)
			}
		}
	}
	p := built.Start(t, "sidecar", "check", filepath.Join(repository(t), "config", "sidecar.yaml"))
	p.ExpectExit(0)
	if !strings.Contains(p.Stdout.String(), "connectBudget: 10s") {
		t.Errorf("the effective configuration lacks a default: %s", p.Stdout)
	}
}

func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// limited starts a sidecar under a limit of the shell's.
func limited(t *testing.T, ulimit, upstream string) *programstest.Sidecar {
	t.Helper()
	return built.Start(t, "/bin/sh", "-c", `ulimit `+ulimit+` && exec "$@"`, "sh", built.Path("sidecar"),
		"--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--forward", upstream,
		"--config", programstest.Configuration(t, "upstreams: [{connectBudget: 50ms}]")).Sidecar()
}

func TestWantOfDescriptorsPasses(t *testing.T) {
	server := built.Serve(t)
	s := limited(t, "-n 60", server.Address)
	idle := s.Stats().AcceptErrors
	var conns []net.Conn
	for range 100 {
		conn, err := net.Dial("tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	s.Stderr.Line("cannot accept connections")
	for _, conn := range conns {
		conn.Close()
	}
	s.Await("all of them to come and go", func(st programs.Stats) bool { return st.Connections.Closed == 100 })
	if r := built.Load(t, s.Address, "--connections", "5", "--requests", "1000").Report(); !r.Complete || r.ACKs != 1000 {
		t.Errorf("the client counted %+v", r)
	}
	if st := s.Stats(); st.AcceptErrors <= idle {
		t.Errorf("no failure to accept was counted: %+v", st)
	}
}

// TestDiskThatTakesNoMoreDoesNotTouchTraffic lets no file grow, as a full disk
// does.
func TestDiskThatTakesNoMoreDoesNotTouchTraffic(t *testing.T) {
	server := built.Serve(t)
	s := limited(t, "-f 0", server.Address)
	if r := built.Load(t, s.Address, "--connections", "5", "--requests", "10000").Report(); !r.Complete || r.ACKs != 10000 {
		t.Errorf("the client counted %+v", r)
	}
	s.Await("a second failure", func(st programs.Stats) bool { return st.Checkpoint.Failures >= 2 && !st.Checkpoint.Working })
	if !strings.Contains(s.Get("/status"), `"working": false`) {
		t.Errorf("/status does not show it: %s", s.Get("/status"))
	}
	if n := strings.Count(s.Stderr.String(), `"logger":"checkpoint"`); n != 1 {
		t.Errorf("the failure was logged %d times, want once:\n%s", n, s.Stderr)
	}
	if got := s.Metric(`foo_sidecar_checkpoint_writes_total{result="failure"}`); got == "0" {
		t.Error("the metric counts no failure")
	}
}

// TestNothingIsLeftOfClosedConnections compares descriptors and goroutines with
// those before.
func TestNothingIsLeftOfClosedConnections(t *testing.T) {
	server := built.Serve(t)
	s := built.Sidecar(t, server.Address)
	built.Load(t, s.Address, "--connections", "1", "--requests", "1").Report()
	s.AwaitIdle()
	before := s.Metric("go_goroutines")
	files := openFiles(s.Process)
	for range 3 {
		if r := built.Load(t, s.Address, "--connections", "500", "--requests", "2000").Report(); !r.Complete {
			t.Fatalf("the client counted %+v", r)
		}
	}
	s.AwaitIdle()
	limit := time.Now().Add(programs.Patience)
	for s.Metric("go_goroutines") != before || openFiles(s.Process) > files {
		if time.Now().After(limit) {
			t.Fatalf("%s goroutines and %d files, before it were %s and %d", s.Metric("go_goroutines"), openFiles(s.Process), before, files)
		}
		runtime.Gosched()
	}
}

// openFiles returns how many descriptors a process has open, or zero where the
// system does not tell.
func openFiles(p *programstest.Process) int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		return 0
	}
	return len(entries)
}
