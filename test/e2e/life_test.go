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
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

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
	_, upstream := serve(t)
	recovery := filepath.Join(t.TempDir(), "recovery.json")
	for life := int64(1); life <= 4; life++ {
		s := sidecarFor(t, upstream, recovery)
		st := s.stats()
		if life > 1 && (st.Recovered == nil || st.Recovered.Restarts != 2*(life-1)) {
			t.Errorf("life %d: recovered %+v", life, st.Recovered)
		}
		before := st.MsgReq
		start(t, "foo", "load", "-connect", s.address, "-connections", "10", "-pipeline", "10", "-rate", "5000", "-duration", "1m")
		var atSave stats
		s.await("a checkpoint with new requests", func(st stats) bool {
			atSave = st
			return saved(t, recovery) > before
		})
		s.signal(syscall.SIGKILL)
		s.wait()
		kept := saved(t, recovery)
		if kept < before {
			t.Fatalf("life %d: the checkpoint has %d requests, it had %d", life, kept, before)
		}
		again := sidecarFor(t, upstream, recovery)
		st = again.stats()
		if st.MsgReq != kept || st.InFlight != 0 || st.Connections.Open != 0 || st.MsgReq != st.Acked+st.Naked+st.NakLocal+st.Unanswered {
			t.Errorf("life %d: recovered %+v, the checkpoint has %d requests", life, st, kept)
		}
		if st.Rate10s == 0 && atSave.Rate10s > 0 {
			t.Errorf("life %d: the window of the last 10 s is empty", life)
		}
		again.signal(syscall.SIGTERM)
		again.expectExit(0)
		if got := saved(t, recovery); got != kept {
			t.Errorf("life %d: %d requests saved at the end, want %d", life, got, kept)
		}
	}
}

// TestTermUnderLoadLosesNothing ends the sidecar while clients talk. Every
// answer that a client got was counted and saved.
func TestTermUnderLoadLosesNothing(t *testing.T) {
	_, upstream := serve(t, "-delay", "5ms", "-nak", "0.1")
	recovery := filepath.Join(t.TempDir(), "recovery.json")
	s := sidecarFor(t, upstream, recovery)
	client := start(t, "foo", "load", "-json", "-connect", s.address, "-connections", "50", "-pipeline", "20", "-duration", "1m", "-grace", "1s")
	s.await("traffic", func(st stats) bool { return st.MsgAck > 5000 })
	s.signal(syscall.SIGTERM)
	s.expectExit(0)
	client.signal(syscall.SIGINT)
	client.wait()
	r := client.report()
	again := sidecarFor(t, upstream, recovery)
	st := again.stats()
	if st.MsgAck != r.ACKs || st.MsgNak+st.NakLocal != r.NAKs {
		t.Errorf("saved %+v, the client counted %+v", st, r)
	}
	if st.Unanswered > r.Unanswered || st.MsgReq > r.Sent || r.Wrong != 0 || r.Unexpected != 0 {
		t.Errorf("saved %+v, the client counted %+v", st, r)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	_, upstream := serve(t, "-delay", "10m")
	s := sidecarFor(t, upstream, filepath.Join(t.TempDir(), "r"))
	start(t, "foo", "call", "-connect", s.address, "-timeout", "10m", "hello")
	s.await("the request", func(st stats) bool { return st.InFlight == 1 })
	s.signal(syscall.SIGTERM)
	s.stderr.line(t, `"draining"`)
	if status := s.get("/status"); !strings.Contains(status, `"draining": true`) || !strings.Contains(status, `"status": "not ready"`) {
		t.Errorf("/status while draining: %s", status)
	}
	s.signal(syscall.SIGTERM)
	s.expectExit(3)
}

func TestStatisticsOnSignalAreWholeLinesHoweverFastItComes(t *testing.T) {
	_, upstream := serve(t)
	s := sidecarFor(t, upstream, filepath.Join(t.TempDir(), "r"))
	start(t, "foo", "load", "-connect", s.address, "-connections", "4", "-pipeline", "50", "-duration", "1m")
	s.await("traffic", func(st stats) bool { return st.MsgAck > 100 })
	for range 2000 {
		s.signal(syscall.SIGUSR2)
	}
	s.stdout.line(t, "msg_total")
	s.signal(syscall.SIGTERM)
	s.expectExit(0)
	last := stats{}
	n := 0
	for line := range strings.Lines(s.stdout.String()) {
		var st stats
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

// TestReaderOfTheStatisticsMayLeave gives the sidecar pipes that nobody reads
// any more.
func TestReaderOfTheStatisticsMayLeave(t *testing.T) {
	_, upstream := serve(t)
	s := sidecarFor(t, upstream, filepath.Join(t.TempDir(), "r"))
	gone, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	dir := t.TempDir()
	mute := exec.Command(filepath.Join(bin, "sidecar"), "-listen", "unix:"+dir+"/s", "-http", "unix:"+dir+"/admin", "-forward", s.address, "-recovery-path", "")
	mute.Stdout, mute.Stderr = out, out
	if err := mute.Start(); err != nil {
		t.Fatal(err)
	}
	defer mute.Wait()
	defer mute.Process.Kill()
	if _, err := gone.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	gone.Close()
	for range 3 {
		if err := mute.Process.Signal(syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		if r := load(t, "unix:"+dir+"/s", "-requests", "100", "-reconnect", "-duration", "30s"); r.ACKs != 100 {
			t.Fatalf("the client counted %+v", r)
		}
	}
}

// TestNobodyHasToReadTheOutput gives the sidecar a pipe that is full.
func TestNobodyHasToReadTheOutput(t *testing.T) {
	_, upstream := serve(t)
	unread, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	defer out.Close()
	dir := t.TempDir()
	mute := exec.Command(filepath.Join(bin, "sidecar"), "-listen", "unix:"+dir+"/s", "-http", "unix:"+dir+"/admin", "-forward", upstream, "-recovery-path", "")
	mute.Stdout, mute.Stderr = out, out
	mute.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	if err := mute.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mute.Wait() }()
	defer mute.Process.Kill()
	if _, err := unread.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	// More than any pipe holds, over and over.
	for range 50 {
		if err := mute.Process.Signal(syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		if r := load(t, "unix:"+dir+"/s", "-requests", "10", "-connections", "1"); r.ACKs != 10 {
			t.Fatalf("the client counted %+v", r)
		}
	}
	if err := mute.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("SIGTERM does not end it")
	}
}

// TestMistakeInAFlagIsNotHiddenByTheLastGoodConfiguration starts a second time
// where a good configuration was kept.
func TestMistakeInAFlagIsNotHiddenByTheLastGoodConfiguration(t *testing.T) {
	recovery := filepath.Join(t.TempDir(), "r")
	s := sidecarFor(t, "127.0.0.1:1", recovery)
	s.signal(syscall.SIGTERM)
	s.expectExit(0)
	again := start(t, "sidecar", "-listen", "8002", "-recovery-path", recovery)
	again.expectExit(2)
	if !strings.Contains(again.stderr.String(), "--listen") {
		t.Errorf("the error does not name the flag: %s", again.stderr)
	}
}

func TestKillCommandOfTheImage(t *testing.T) {
	s := sidecarFor(t, "127.0.0.1:1", filepath.Join(t.TempDir(), "r"))
	kill := filepath.Join(t.TempDir(), "kill")
	if err := os.Symlink(filepath.Join(bin, "sidecar"), kill); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(kill, "-USR2", strconv.Itoa(s.cmd.Process.Pid)).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("kill: %v: %s", err, out)
	}
	s.stdout.line(t, `{"msg_total":0,`)
}

func TestHangupReloads(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "sidecar.yaml")
	document := "apiVersion: foo-protocol.io/v1alpha1\nkind: SidecarConfig\nreload: {pollInterval: 1h}\n"
	write(t, config, document)
	s := sidecarFor(t, "127.0.0.1:1", filepath.Join(dir, "r"), "-config", config)
	s.signal(syscall.SIGHUP)
	write(t, config, document+"log: {level: debug, format: console}\n")
	s.stderr.line(t, "configuration reloaded")
	if got := s.metric("foo_sidecar_config_generation"); got != "2" {
		t.Errorf("generation %s, want 2", got)
	}
}

func TestInvalidConfigurationNamesEverythingThatIsWrong(t *testing.T) {
	config := filepath.Join(t.TempDir(), "sidecar.yaml")
	write(t, config, "apiVersion: foo-protocol.io/v1alpha1\nkind: SidecarConfig\nlisteners: [{idelTimeout: 5s}]\ndrain: {timeout: soon}\n")
	for _, args := range [][]string{{"check", config}, {"--config", config, "--recovery-path", ""}} {
		p := start(t, "sidecar", args...)
		p.expectExit(2)
		for _, part := range []string{config, "listeners[0].idelTimeout", "did you mean idleTimeout", "drain.timeout"} {
			if !strings.Contains(p.stderr.String(), part) {
				t.Errorf("%v: the error does not say %q: %s", args, part, p.stderr)
			}
		}
	}
	p := start(t, "sidecar", "check", filepath.Join(repository(t), "config", "sidecar.yaml"))
	p.expectExit(0)
	if !strings.Contains(p.stdout.String(), "connectBudget: 10s") {
		t.Errorf("the effective configuration lacks a default: %s", p.stdout)
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
func limited(t *testing.T, ulimit, upstream string) *sidecar {
	t.Helper()
	config := filepath.Join(t.TempDir(), "sidecar.yaml")
	write(t, config, "apiVersion: foo-protocol.io/v1alpha1\nkind: SidecarConfig\nupstreams: [{connectBudget: 50ms}]\n")
	return serving(t, start(t, "/bin/sh", "-c", `ulimit `+ulimit+` && exec "$@"`, "sh", filepath.Join(bin, "sidecar"),
		"-listen", "127.0.0.1:0", "-http", "127.0.0.1:0", "-forward", upstream, "-config", config,
		"-recovery-path", filepath.Join(t.TempDir(), "r")))
}

func TestWantOfDescriptorsPasses(t *testing.T) {
	_, upstream := serve(t)
	s := limited(t, "-n 60", upstream)
	idle := s.stats().AcceptErrors
	var conns []net.Conn
	for range 100 {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	s.stderr.line(t, "cannot accept connections")
	for _, conn := range conns {
		conn.Close()
	}
	s.await("all of them to come and go", func(st stats) bool { return st.Connections.Closed == 100 })
	if r := load(t, s.address, "-connections", "5", "-requests", "1000"); !r.Complete || r.ACKs != 1000 {
		t.Errorf("the client counted %+v", r)
	}
	if st := s.stats(); st.AcceptErrors <= idle {
		t.Errorf("no failure to accept was counted: %+v", st)
	}
}

// TestDiskThatTakesNoMoreDoesNotTouchTraffic lets no file grow, as a full disk
// does.
func TestDiskThatTakesNoMoreDoesNotTouchTraffic(t *testing.T) {
	_, upstream := serve(t)
	s := limited(t, "-f 0", upstream)
	if r := load(t, s.address, "-connections", "5", "-requests", "10000"); !r.Complete || r.ACKs != 10000 {
		t.Errorf("the client counted %+v", r)
	}
	s.await("a second failure", func(st stats) bool { return st.Checkpoint.Failures >= 2 && !st.Checkpoint.Working })
	if !strings.Contains(s.get("/status"), `"working": false`) {
		t.Errorf("/status does not show it: %s", s.get("/status"))
	}
	if n := strings.Count(s.stderr.String(), `"logger":"checkpoint"`); n != 1 {
		t.Errorf("the failure was logged %d times, want once:\n%s", n, s.stderr)
	}
	if got := s.metric(`foo_sidecar_checkpoint_writes_total{result="failure"}`); got == "0" {
		t.Error("the metric counts no failure")
	}
}

// TestNothingIsLeftOfClosedConnections compares descriptors and goroutines with
// those before.
func TestNothingIsLeftOfClosedConnections(t *testing.T) {
	_, upstream := serve(t)
	s := sidecarFor(t, upstream, filepath.Join(t.TempDir(), "r"))
	load(t, s.address, "-connections", "1", "-requests", "1")
	s.await("the end of the session", func(st stats) bool { return st.Connections.Open == 0 })
	before := s.metric("go_goroutines")
	files := s.files()
	for range 3 {
		if r := load(t, s.address, "-connections", "500", "-requests", "2000"); !r.Complete {
			t.Fatalf("the client counted %+v", r)
		}
	}
	s.await("the end of the sessions", func(st stats) bool { return st.Connections.Open == 0 })
	limit := time.Now().Add(patience)
	for s.metric("go_goroutines") != before || s.files() > files {
		if time.Now().After(limit) {
			t.Fatalf("%s goroutines and %d files, before it were %s and %d", s.metric("go_goroutines"), s.files(), before, files)
		}
		runtime.Gosched()
	}
}

// files returns how many descriptors the process has open, or zero where the
// system does not tell.
func (p *process) files() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return len(entries)
}
