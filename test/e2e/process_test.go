//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that should happen soon.
const patience = time.Minute

// bin is where the programs under test are.
var bin string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "foo-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	build := exec.Command("go", "build", raceFlag, "-o", dir+"/", "../../cmd/sidecar", "../../cmd/foo")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the programs under test:", err)
		return 1
	}
	return m.Run()
}

// process is a program that runs.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *output
	stderr *output
	wait   func() int // waits for the end and returns the exit code
}

// output collects what a process writes, and tells about each write.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// line waits for a line that contains all the parts.
func (o *output) line(t *testing.T, parts ...string) string {
	t.Helper()
	limit := time.After(patience)
	for {
		for line := range strings.Lines(o.String()) {
			found := strings.HasSuffix(line, "\n")
			for _, part := range parts {
				found = found && strings.Contains(line, part)
			}
			if found {
				return line
			}
		}
		select {
		case <-o.changed:
		case <-limit:
			t.Fatalf("waited in vain for a line with %q in:\n%s", parts, o)
		}
	}
}

// start runs a program of ours, or any other. It is killed when the test ends,
// if it still runs.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	if !filepath.IsAbs(name) && (name == "foo" || name == "sidecar") {
		name = filepath.Join(bin, name)
	}
	p := &process{t: t, cmd: exec.Command(name, args...), stdout: newOutput(), stderr: newOutput()}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Dir = t.TempDir()
	// A process with the race detector would sleep for a second before it ends.
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.wait = sync.OnceValue(func() int {
		p.cmd.Wait()
		return p.cmd.ProcessState.ExitCode()
	})
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.wait()
		if t.Failed() {
			t.Logf("%s wrote to standard error:\n%s", filepath.Base(name), p.stderr)
		}
	})
	return p
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %s: %v", s, err)
	}
}

func (p *process) expectExit(code int) {
	p.t.Helper()
	if got := p.wait(); got != code {
		p.t.Errorf("%s: exit code %d, want %d\n%s", filepath.Base(p.cmd.Path), got, code, p.stderr)
	}
}

// serve starts a server of the test driver and returns it with its address.
func serve(t *testing.T, args ...string) (*process, string) {
	t.Helper()
	p := start(t, "foo", append([]string{"serve", "-listen", "127.0.0.1:0", "-stats-on-exit"}, args...)...)
	line := p.stderr.line(t, "listening on ")
	return p, strings.TrimSpace(line[strings.Index(line, "listening on ")+len("listening on "):])
}

// sidecar is a sidecar that runs.
type sidecar struct {
	*process
	address string // of its listener
	admin   string
}

// sidecarFor starts a sidecar in front of an upstream, and waits until it
// serves.
func sidecarFor(t *testing.T, upstream, recovery string, args ...string) *sidecar {
	t.Helper()
	args = append([]string{"-listen", "127.0.0.1:0", "-http", "127.0.0.1:0", "-forward", upstream, "-recovery-path", recovery}, args...)
	return serving(t, start(t, "sidecar", args...))
}

// serving waits until a sidecar with one listener serves.
func serving(t *testing.T, p *process) *sidecar {
	t.Helper()
	s := &sidecar{process: p}
	p.stderr.line(t, `"sidecar started"`)
	s.address = logged(t, p.stderr.line(t, `"msg":"listening"`), "address")
	s.admin = logged(t, p.stderr.line(t, `"admin server listening"`), "address")
	return s
}

// logged returns a value of a line of the log.
func logged(t *testing.T, line, key string) string {
	t.Helper()
	var record map[string]any
	if err := json.Unmarshal([]byte(line), &record); err != nil {
		t.Fatalf("the log is not JSON: %v: %s", err, line)
	}
	value, _ := record[key].(string)
	return value
}

// stats is the part of the statistics that the tests look at.
type stats struct {
	MsgTotal     int64   `json:"msg_total"`
	MsgReq       int64   `json:"msg_req"`
	MsgAck       int64   `json:"msg_ack"`
	MsgNak       int64   `json:"msg_nak"`
	Rate10s      float64 `json:"request_rate_10s"`
	NakLocal     int64   `json:"nak_local"`
	InFlight     int64   `json:"in_flight"`
	Acked        int64   `json:"acked"`
	Naked        int64   `json:"naked"`
	Unanswered   int64   `json:"unanswered"`
	Unmatched    int64   `json:"unmatched_answers"`
	Malformed    int64   `json:"malformed"`
	AcceptErrors int64   `json:"accept_errors"`
	Bytes        struct {
		Client, Upstream int64
	} `json:"bytes"`
	Connections struct {
		Open, Opened, Rejected, Closed int64
	} `json:"connections"`
	Latency struct {
		Count int64
	} `json:"latency_seconds"`
	Checkpoint struct {
		Working  bool
		Failures int64
	} `json:"checkpoint"`
	Recovered *struct {
		Restarts int64
	} `json:"recovered"`
}

// get returns what the admin server answers.
func (s *sidecar) get(path string) string {
	s.t.Helper()
	response, err := http.Get("http://" + s.admin + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(body)
}

func (s *sidecar) stats() (st stats) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.get("/stats")), &st); err != nil {
		s.t.Fatal(err)
	}
	return st
}

// await asks for the statistics until they are as expected.
func (s *sidecar) await(what string, ok func(stats) bool) stats {
	s.t.Helper()
	st := s.stats()
	for limit := time.Now().Add(patience); !ok(st); st = s.stats() {
		if time.Now().After(limit) {
			s.t.Fatalf("waited in vain for %s: %+v", what, st)
		}
		runtime.Gosched()
	}
	return st
}

// metric returns a value of /metrics, by its name and labels.
func (s *sidecar) metric(name string) string {
	s.t.Helper()
	scanner := bufio.NewScanner(strings.NewReader(s.get("/metrics")))
	for scanner.Scan() {
		if value, ok := strings.CutPrefix(scanner.Text(), name+" "); ok {
			return value
		}
	}
	s.t.Fatalf("there is no metric %s", name)
	return ""
}

// report is what the client counted.
type report struct {
	Complete                            bool
	Sent, ACKs, NAKs, Wrong, Unanswered int64
	Unexpected                          int64
	NAKsByText                          map[string]int64 `json:"nak_by_text"`
	Bytes                               struct{ Sent, Received int64 }
	Connections                         struct{ Opened, Failed, Lost int64 }
}

// load runs the client to its end and returns what it counted.
func load(t *testing.T, address string, args ...string) report {
	t.Helper()
	p := start(t, "foo", append([]string{"load", "-json", "-connect", address}, args...)...)
	p.wait()
	return p.report()
}

func (p *process) report() (r report) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.stdout.String()), &r); err != nil {
		p.t.Fatalf("the client's report: %v: %s%s", err, p.stdout, p.stderr)
	}
	return r
}

// served is what a server counted.
type served struct {
	Connections, Requests, ACKs, NAKs, Undecodable int64
}

// finish ends a server and returns what it counted.
func (p *process) finish() (s served) {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.expectExit(0)
	if err := json.Unmarshal([]byte(p.stdout.String()), &s); err != nil {
		p.t.Fatalf("the server's report: %v: %s", err, p.stdout)
	}
	return s
}
