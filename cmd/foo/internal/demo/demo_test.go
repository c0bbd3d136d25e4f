//go:build unix

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/server"
	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
)

// modeVariable makes the test binary play the sidecar. Its value says how.
const modeVariable = "FOO_DEMO_TEST_SIDECAR"

// The sidecars that the demonstration has to cope with.
const (
	good     = "good"
	failing  = "failing"  // ends at once
	quitting = "quitting" // the same, without an error
	unready  = "unready"
	stubborn = "stubborn" // does not stop
	lying    = "lying"    // counts one request too many
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(modeVariable); mode != "" {
		os.Exit(playSidecar(mode, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// playSidecar answers what a sidecar would have answered.
func playSidecar(mode string, args []string) int {
	ctx, stop := stopContext(mode == stubborn)
	defer stop()
	flags := map[string]string{}
	for i := 0; i+1 < len(args); i += 2 {
		flags[args[i]] = args[i+1]
	}
	_, _ = fmt.Fprintf(os.Stderr, "one\ntwo\nextra is %s\n", flags["--extra"])
	switch mode {
	case failing:
		return 1
	case quitting:
		return 0
	}
	_, _ = fmt.Println(`{"printed":"by the sidecar"}`)
	l, err := wire.Listen(ctx, flags["--listen"])
	if err != nil {
		return 1
	}
	s := server.New(server.Options{NAK: 0.1})
	mux := http.NewServeMux()
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		if mode == unready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/stats", func(w http.ResponseWriter, _ *http.Request) {
		got := s.Stats()
		if mode == lying {
			got.Requests++
			got.Requests *= 2
		}
		_ = json.NewEncoder(w).Encode(map[string]int64{"msg_req": got.Requests, "msg_ack": got.ACKs, "msg_nak": got.NAKs})
	})
	go func() { _ = http.ListenAndServe(flags["--http"], mux) }() //nolint:gosec // ends with the process
	if s.Serve(ctx, l) != nil {
		return 1
	}
	return 0
}

// output is what a demonstration shows, and can be waited for.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed at the next write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until text is shown.
func (o *output) await(t *testing.T, text string) {
	t.Helper()
	for {
		o.mu.Lock()
		found, changed := strings.Contains(o.text.String(), text), o.changed
		o.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatalf("%q was not shown within 20s, only:\n%s", text, o)
		}
	}
}

// running is a demonstration in progress.
type running struct {
	*output
	o      Options
	cancel context.CancelFunc
	ended  chan error
}

// start starts a demonstration with a sidecar of the given kind.
func start(t *testing.T, mode string, change func(*Options)) *running {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(modeVariable, mode)
	dir := filepath.Join(t.TempDir(), "data")
	r := &running{output: newOutput(), ended: make(chan error, 1)}
	r.o = Options{
		Sidecar: self, Args: []string{"--extra", "argument"},
		Listen: "127.0.0.1:0", Forward: "127.0.0.1:0", HTTP: "127.0.0.1:0",
		PIDFile: filepath.Join(dir, "sidecar.pid"), LogFile: filepath.Join(dir, "sidecar.log"),
		Foo: "bin/foo", Stdout: r.output,
	}
	if change != nil {
		change(&r.o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	t.Cleanup(cancel)
	go func() { r.ended <- Run(ctx, r.o) }()
	return r
}

// process returns the sidecar's process, which runs.
func (r *running) process(t *testing.T) *os.Process {
	t.Helper()
	text, err := os.ReadFile(r.o.PIDFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wait waits for the end and checks that nothing is left.
func (r *running) wait(t *testing.T, p *os.Process) error {
	t.Helper()
	err := <-r.ended
	if p != nil && exists(p) {
		t.Error("the sidecar still runs")
	}
	if _, statErr := os.Stat(r.o.PIDFile); !os.IsNotExist(statErr) {
		t.Errorf("the file with the process id is still there: %v", statErr)
	}
	return err
}

func TestDemoShowsTheSidecarAtWorkAndEndsCleanly(t *testing.T) {
	r := start(t, good, nil)
	r.await(t, " in flight")
	for _, want := range []string{
		"through the sidecar at 127.0.0.1:", "/stats ", "/metrics ", "/status ",
		"make kill args=-SIGUSR2", "bin/foo call -connect 127.0.0.1:", r.o.LogFile,
		"\n{\"printed\":\"by the sidecar\"}\n",
	} {
		if !strings.Contains("\n"+r.String(), want) {
			t.Errorf("%q is not shown", want)
		}
	}
	p := r.process(t)
	r.cancel()
	if err := r.wait(t, p); err != nil {
		t.Error(err)
	}
	if !strings.HasSuffix(r.String(), ": equal\n") || strings.Contains(r.String(), " 0 requests") {
		t.Errorf("got\n%s\nwant the client's and the sidecar's counts at the end, equal", r)
	}
	log, err := os.ReadFile(r.o.LogFile)
	if err != nil || !strings.Contains(string(log), "extra is argument") {
		t.Errorf("log: got %q, %v, want what the sidecar wrote, with its further arguments", log, err)
	}
}

func TestDemoEndsByItselfAfterItsDuration(t *testing.T) {
	r := start(t, good, func(o *Options) { o.Duration = 300 * time.Millisecond })
	if err := r.wait(t, nil); err != nil {
		t.Error(err)
	}
	if !strings.HasSuffix(r.String(), ": equal\n") {
		t.Errorf("got\n%s", r)
	}
}

func TestDemoSaysWhenCountsDiffer(t *testing.T) {
	r := start(t, lying, func(o *Options) { o.Duration = 300 * time.Millisecond })
	if err := r.wait(t, nil); err != nil {
		t.Error(err)
	}
	if !strings.Contains(r.String(), "not equal") {
		t.Errorf("got\n%s", r)
	}
}

func TestDemoEndsWithAKilledSidecar(t *testing.T) {
	r := start(t, good, nil)
	r.await(t, "Ctrl-C")
	p := r.process(t)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := r.wait(t, p); err == nil || !strings.Contains(err.Error(), "the sidecar ended") {
		t.Errorf("got %v, want that the sidecar ended", err)
	}
}

func TestDemoEndsWithASidecarThatIsStopped(t *testing.T) {
	r := start(t, good, nil)
	r.await(t, "Ctrl-C")
	p := r.process(t)
	if err := terminate(p); err != nil {
		t.Fatal(err)
	}
	if err := r.wait(t, p); err != nil || !strings.Contains(r.String(), "The sidecar was stopped.") {
		t.Errorf("got %v and\n%s", err, r)
	}
}

func TestSidecarThatDoesNotStopIsKilled(t *testing.T) {
	r := start(t, stubborn, func(o *Options) { o.StopTimeout = 50 * time.Millisecond })
	r.await(t, "Ctrl-C")
	p := r.process(t)
	r.cancel()
	if err := r.wait(t, p); err == nil || !strings.Contains(err.Error(), "did not stop within 50ms and was killed") {
		t.Errorf("got %v, want that the sidecar was killed", err)
	}
}

func TestSidecarThatDoesNotStartIsExplained(t *testing.T) {
	for mode, status := range map[string]string{failing: "exit status 1", quitting: "exit status 0"} {
		r := start(t, mode, nil)
		err := r.wait(t, nil)
		want := "the sidecar ended before it was ready: " + status + "; its log " + r.o.LogFile +
			" ends with\n  one\n  two\n  extra is argument"
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v\nwant %s", mode, err, want)
		}
	}
}

func TestDemoCanBeEndedBeforeTheSidecarIsReady(t *testing.T) {
	r := start(t, unready, nil)
	r.await(t, "printed")
	p := r.process(t)
	r.cancel()
	if err := r.wait(t, p); err != nil {
		t.Error(err)
	}
}

func TestTakenPortIsNamedWithItsFlag(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for flag, set := range map[string]func(*Options){
		"--listen":  func(o *Options) { o.Listen = l.Addr().String() },
		"--forward": func(o *Options) { o.Forward = l.Addr().String() },
		"--http":    func(o *Options) { o.HTTP = l.Addr().String() },
	} {
		err := start(t, good, set).wait(t, nil)
		if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.HasSuffix(err.Error(), flag) {
			t.Errorf("got %v, want the address and %s named", err, flag)
		}
	}
}

func TestSidecarThatIsNotThereIsAnError(t *testing.T) {
	r := start(t, good, func(o *Options) { o.Sidecar = filepath.Join(t.TempDir(), "nothing") })
	if err := r.wait(t, nil); err == nil || !strings.HasPrefix(err.Error(), "start the sidecar: ") {
		t.Errorf("got %v", err)
	}
}

func TestAdminIsAskedOnThisMachine(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:8088": "http://localhost:8088", ":8088": "http://localhost:8088", "[::]:8088": "http://localhost:8088",
		"127.0.0.1:1": "http://127.0.0.1:1", "[::1]:1": "http://[::1]:1",
	} {
		if got := newAdmin(address).base; got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

func TestStatusStaysInPlaceOnATerminal(t *testing.T) {
	script := func(s *screen) {
		s.print("hello\n")
		s.status("one")
		s.status("one")
		_, _ = s.Write([]byte("sidecar"))
		s.status("two")
		_, _ = s.Write([]byte(" says\nthat"))
		s.clear()
		s.print("bye\n")
	}
	for inPlace, want := range map[bool]string{
		true:  "hello\n" + eraseLine + "one" + eraseLine + "two" + eraseLine + "sidecar says\ntwo" + "\nbye\n",
		false: "hello\none\ntwo\nsidecar says\nbye\n",
	} {
		var b bytes.Buffer
		script(&screen{w: &b, inPlace: inPlace})
		if b.String() != want {
			t.Errorf("in place: %v: got %q, want %q", inPlace, b.String(), want)
		}
	}
}
