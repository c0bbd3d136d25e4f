//go:build unix

package collector

import (
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
	dir, err := os.MkdirTemp("", "foo-collector")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	build := exec.Command("go", "build", "-o", dir+"/", "./cmd/sidecar", "./cmd/foo")
	build.Dir = filepath.Join("..", "..", "..") // another module
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the programs under test:", err)
		return 1
	}
	return m.Run()
}

// process is a program that runs.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr *output
	wait           func() int // waits for the end and returns the exit code
}

// output collects what a process writes, and tells about each write.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
}

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

// lines returns the complete lines that contain part.
func (o *output) lines(part string) (found []string) {
	for line := range strings.Lines(o.String()) {
		if strings.HasSuffix(line, "\n") && strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}

// line waits for a line that contains part.
func (o *output) line(t *testing.T, part string) string {
	t.Helper()
	limit := time.After(patience)
	for {
		if found := o.lines(part); len(found) > 0 {
			return found[0]
		}
		select {
		case <-o.changed:
		case <-limit:
			t.Fatalf("waited in vain for a line with %q in:\n%s", part, o)
		}
	}
}

// start runs one of our programs. It is killed when the test ends, if it still
// runs.
func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(filepath.Join(bin, name), args...)}
	p.stdout, p.stderr = &output{changed: make(chan struct{}, 1)}, &output{changed: make(chan struct{}, 1)}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append(os.Environ(), env...)
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
			t.Logf("%s wrote to standard error:\n%s", name, p.stderr)
		}
	})
	return p
}

// terminate ends a process as Kubernetes does, and returns how long it took.
func (p *process) terminate() time.Duration {
	p.t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.wait(); code != 0 {
		p.t.Errorf("exit code %d, want 0", code)
	}
	return time.Since(begin)
}

// serve starts a server of the test driver and returns its address.
func serve(t *testing.T, args ...string) string {
	t.Helper()
	p := start(t, nil, "foo", append([]string{"serve", "-listen", "127.0.0.1:0"}, args...)...)
	_, address, _ := strings.Cut(p.stderr.line(t, "listening on "), "listening on ")
	return strings.TrimSpace(address)
}

// sidecar is a sidecar that runs.
type sidecar struct {
	*process
	config         string // its file
	address, admin string
}

// configuration is a document with what is different in a test.
func configuration(telemetry string) string {
	return "apiVersion: foo-protocol.io/v1alpha1\nkind: SidecarConfig\ntelemetry: " + telemetry + "\n"
}

// newSidecar starts a sidecar in front of an upstream and waits until it serves.
// telemetry is that part of its configuration, in one line.
func newSidecar(t *testing.T, upstream, telemetry string, env ...string) *sidecar {
	t.Helper()
	s := &sidecar{config: filepath.Join(t.TempDir(), "sidecar.yaml")}
	s.configure(t, telemetry)
	s.process = start(t, env, "sidecar", "-config", s.config, "-listen", "127.0.0.1:0", "-http", "127.0.0.1:0",
		"-forward", upstream, "-recovery-path", filepath.Join(t.TempDir(), "recovery.json"))
	s.stderr.line(t, `"sidecar started"`)
	s.address = logged(t, s.stderr.line(t, `"msg":"listening"`))["address"].(string)
	s.admin = logged(t, s.stderr.line(t, `"admin server listening"`))["address"].(string)
	return s
}

func (s *sidecar) configure(t *testing.T, telemetry string) {
	t.Helper()
	if err := os.WriteFile(s.config, []byte(configuration(telemetry)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// logged returns a line of the log.
func logged(t *testing.T, line string) (record map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &record); err != nil {
		t.Fatalf("the log is not JSON: %v: %s", err, line)
	}
	return record
}

// stats is the part of the statistics that the tests look at.
type stats struct {
	MsgReq      int64 `json:"msg_req"`
	MsgAck      int64 `json:"msg_ack"`
	MsgNak      int64 `json:"msg_nak"`
	Acked       int64 `json:"acked"`
	Naked       int64 `json:"naked"`
	NakLocal    int64 `json:"nak_local"`
	Unanswered  int64 `json:"unanswered"`
	Connections struct{ Open, Opened int64 }
	Spans       spanStats
}

// spanStats is what the sidecar says of its spans.
type spanStats struct {
	Sampled, Exported int64
	Dropped           struct{ Limit, Queue, Export int64 }
}

// settled reports whether each pair that was chosen has become something.
func (s spanStats) settled() bool {
	return s.Sampled == s.Exported+s.Dropped.Limit+s.Dropped.Queue+s.Dropped.Export
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

// metric returns a series of /metrics.
func (s *sidecar) metric(series string) string {
	s.t.Helper()
	for line := range strings.Lines(s.get("/metrics")) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	s.t.Errorf("there is no metric %s", series)
	return ""
}

// report is what the client counted.
type report struct {
	Complete                            bool
	Sent, ACKs, NAKs, Wrong, Unanswered int64
	Connections                         struct{ Opened int64 }
}

// load runs the client to its end. All requests must have been answered.
func load(t *testing.T, s *sidecar, args ...string) (r report) {
	t.Helper()
	p := start(t, nil, "foo", append([]string{"load", "-json", "-connect", s.address}, args...)...)
	p.wait()
	if err := json.Unmarshal([]byte(p.stdout.String()), &r); err != nil {
		t.Fatalf("the client's report: %v: %s%s", err, p.stdout, p.stderr)
	}
	if !r.Complete || r.Sent == 0 || r.Wrong+r.Unanswered != 0 || r.ACKs+r.NAKs != r.Sent {
		t.Errorf("the client is not content: %+v", r)
	}
	return r
}

// counted waits for the end of all sessions and compares what the sidecar
// counted with what the clients did.
func (s *sidecar) counted(reports ...report) stats {
	s.t.Helper()
	st := s.await("the end of the sessions", func(st stats) bool { return st.Connections.Open == 0 })
	var sent, acks, naks, opened int64
	for _, r := range reports {
		sent, acks, naks, opened = sent+r.Sent, acks+r.ACKs, naks+r.NAKs, opened+r.Connections.Opened
	}
	for what, pair := range map[string][2]int64{
		"msg_req": {st.MsgReq, sent}, "msg_ack": {st.MsgAck, acks}, "msg_nak": {st.MsgNak, naks},
		"acked": {st.Acked, acks}, "naked": {st.Naked, naks}, "nak_local": {st.NakLocal, 0},
		"unanswered": {st.Unanswered, 0}, "connections": {st.Connections.Opened, opened},
	} {
		if pair[0] != pair[1] {
			s.t.Errorf("%s: the sidecar says %d, the clients %d", what, pair[0], pair[1])
		}
	}
	return st
}
