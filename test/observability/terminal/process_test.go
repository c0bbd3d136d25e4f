//go:build unix

package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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
	dir, err := os.MkdirTemp("", "foo-terminal")
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

// line waits for a line that contains part.
func (o *output) line(t *testing.T, part string) string {
	t.Helper()
	limit := time.After(patience)
	for {
		for line := range strings.Lines(o.String()) {
			if strings.HasSuffix(line, "\n") && strings.Contains(line, part) {
				return line
			}
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
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{stdout: &output{changed: make(chan struct{}, 1)}, stderr: &output{changed: make(chan struct{}, 1)}}
	p.cmd = exec.Command(filepath.Join(bin, name), args...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Dir = t.TempDir()
	p.begin(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s wrote to standard error:\n%s", name, p.stderr)
		}
	})
	return p
}

// begin starts the process.
func (p *process) begin(t *testing.T) {
	t.Helper()
	p.t = t
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
	})
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) expectSuccess() {
	p.t.Helper()
	if code := p.wait(); code != 0 {
		p.t.Errorf("%s: exit code %d, want 0", p.cmd, code)
	}
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

// serve starts a server of the test driver and returns its address.
func serve(t *testing.T, args ...string) (address string) {
	t.Helper()
	p := start(t, "foo", append([]string{"serve", "-listen", "127.0.0.1:0"}, args...)...)
	return strings.TrimSpace(strings.TrimPrefix(p.stderr.line(t, "listening on "), "listening on "))
}

// sidecar is a sidecar that runs.
type sidecar struct {
	*process
	address string // of its listener
	admin   string
}

// sidecarFor starts a sidecar in front of an upstream.
func sidecarFor(t *testing.T, upstream, admin string) *sidecar {
	t.Helper()
	s := &sidecar{process: start(t, "sidecar", "-listen", "127.0.0.1:0", "-http", admin, "-forward", upstream, "-recovery-path", "")}
	s.stderr.line(t, `"sidecar started"`)
	s.address = logged(t, s.stderr.line(t, `"msg":"listening"`), "address")
	s.admin = logged(t, s.stderr.line(t, `"admin server listening"`), "address")
	return s
}

// stats returns the statistics as the admin port has them.
func (s *sidecar) stats() map[string]any {
	s.t.Helper()
	response, err := http.Get("http://" + s.admin + "/stats")
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return decoded(s.t, string(body))
}

func decoded(t *testing.T, line string) (doc map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &doc); err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	return doc
}

// report is what the client counted.
type report struct {
	Sent, ACKs, NAKs int64
}

// load starts the client.
func load(t *testing.T, address string, args ...string) *process {
	t.Helper()
	return start(t, "foo", append([]string{"load", "-json", "-connect", address}, args...)...)
}

// report waits for the end of the client.
func (p *process) report() (r report) {
	p.t.Helper()
	p.wait()
	if err := json.Unmarshal([]byte(p.stdout.String()), &r); err != nil {
		p.t.Fatalf("the client's report: %v: %s%s", err, p.stdout, p.stderr)
	}
	return r
}
