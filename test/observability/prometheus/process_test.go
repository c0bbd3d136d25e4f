//go:build unix

package prometheus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for something that should happen soon.
const patience = 30 * time.Second

// root is the directory of the main module.
var root = filepath.Join("..", "..", "..")

// bin is where the programs under test are.
var bin string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "foo-prometheus")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	build := exec.Command("go", "build", "-o", dir+"/", "./cmd/sidecar", "./cmd/foo")
	build.Dir = root // another module
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the programs under test:", err)
		return 1
	}
	return m.Run()
}

// debian returns the path of a program of Debian's package prometheus.
func debian(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; install the Debian package prometheus: apt-get install prometheus", err)
	}
	return path
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

// start runs a program. It is killed when the test ends, if it still runs.
func start(t *testing.T, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(path, args...), stdout: newOutput(), stderr: newOutput()}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Dir = t.TempDir()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.wait = sync.OnceValue(func() int {
		_ = p.cmd.Wait() // the exit code tells
		return p.cmd.ProcessState.ExitCode()
	})
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		p.wait()
		if t.Failed() {
			lines := strings.Split(p.stderr.String(), "\n")
			t.Logf("%s wrote to standard error at last:\n%s", filepath.Base(path), strings.Join(lines[max(0, len(lines)-20):], "\n"))
		}
	})
	return p
}

// logged returns a value of a line of a log.
func logged(t *testing.T, line, key string) string {
	t.Helper()
	var record map[string]any
	if err := json.Unmarshal([]byte(line), &record); err != nil {
		t.Fatalf("the log is not JSON: %v: %s", err, line)
	}
	value, _ := record[key].(string)
	return value
}

// server starts a Foo server and returns its address.
func server(t *testing.T, args ...string) string {
	t.Helper()
	p := start(t, filepath.Join(bin, "foo"), append([]string{"serve", "-listen", "127.0.0.1:0"}, args...)...)
	_, address, _ := strings.Cut(p.stderr.line(t, "listening on "), "listening on ")
	return strings.TrimSpace(address)
}

// collector returns the URL of something that takes all traces.
func collector(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// sidecar is a sidecar that runs, and the pod that it is said to be in.
type sidecar struct {
	namespace, pod string
	address, admin string
}

// newSidecar starts a sidecar in front of an upstream and waits until it serves.
func newSidecar(t *testing.T, pod, upstream, traces string) *sidecar {
	t.Helper()
	config := filepath.Join(t.TempDir(), "sidecar.yaml")
	text := "apiVersion: foo-protocol.io/v1alpha1\nkind: SidecarConfig\n" +
		"telemetry: {otlp: {endpoint: \"" + traces + "\", protocol: http/protobuf}}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, filepath.Join(bin, "sidecar"), "-config", config, "-listen", "127.0.0.1:0", "-http", "127.0.0.1:0",
		"-forward", upstream, "-recovery-path", filepath.Join(t.TempDir(), "recovery.json"))
	p.stderr.line(t, `"sidecar started"`)
	return &sidecar{
		"shop", pod,
		logged(t, p.stderr.line(t, `"msg":"listening"`), "address"),
		logged(t, p.stderr.line(t, `"admin server listening"`), "address"),
	}
}

// report is what a client counted.
type report struct {
	Complete                  bool
	Sent, ACKs, NAKs, NotSent int64
	Throughput                float64
	Bytes                     struct{ Sent, Received int64 }
	Connections               struct{ Opened int64 }
	Latency                   struct{ P99 float64 } `json:"latency_seconds"`
}

// load starts a client. The function that it returns waits for its end and
// returns what it counted.
func (s *sidecar) load(t *testing.T, args ...string) func() report {
	t.Helper()
	p := start(t, filepath.Join(bin, "foo"), append([]string{"load", "-json", "-connect", s.address}, args...)...)
	return func() (r report) {
		t.Helper()
		p.wait()
		if err := json.Unmarshal([]byte(p.stdout.String()), &r); err != nil {
			t.Fatalf("the client's report: %v: %s%s", err, p.stdout, p.stderr)
		}
		return r
	}
}
