package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Patience bounds every wait for something that should happen soon.
const Patience = 40 * time.Second

// Programs are the programs under test.
type Programs struct {
	dir string
}

// Build builds the programs into dir.
func Build(ctx context.Context, dir string) (*Programs, error) {
	const module = "github.com/foo-protocol/foo-sidecar"
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return nil, fmt.Errorf("find the sources of %s: %w", module, err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), "./cmd/sidecar", "./cmd/foo")
	build.Dir = strings.TrimSpace(string(root))
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return &Programs{dir}, nil
}

// Process is a program that runs.
type Process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	done           chan struct{} // closed when it has ended
}

// Start starts a program, in a directory of its own. It is killed when ctx ends.
func (p *Programs) Start(ctx context.Context, name string, args ...string) (*Process, error) {
	dir, err := os.MkdirTemp(p.dir, name)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	process := &Process{
		cmd:    exec.CommandContext(ctx, filepath.Join(p.dir, name), args...),
		stdout: newOutput(), stderr: newOutput(), done: make(chan struct{}),
	}
	process.cmd.Dir = dir
	process.cmd.Stdout, process.cmd.Stderr = process.stdout, process.stderr
	if err := process.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go process.wait()
	return process, nil
}

func (p *Process) wait() {
	defer close(p.done)
	_ = p.cmd.Wait() // how it ended is of no interest here
}

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Stop asks the process to end, and returns when it has.
func (p *Process) Stop() {
	_ = p.Signal(os.Interrupt)
	p.Wait()
}

// Wait returns when the process has ended.
func (p *Process) Wait() { <-p.done }

// Stderr returns what the process wrote to standard error.
func (p *Process) Stderr() string { return p.stderr.String() }

// Server is a Foo server that runs.
type Server struct {
	*Process
	Address string
}

// Serve starts a Foo server and returns when it listens.
func (p *Programs) Serve(ctx context.Context, args ...string) (*Server, error) {
	process, err := p.Start(ctx, "foo", append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	if err != nil {
		return nil, err
	}
	const before = "listening on "
	line, err := process.stderr.line(ctx, before)
	if err != nil {
		return nil, fmt.Errorf("start a Foo server: %w", err)
	}
	return &Server{process, strings.TrimSpace(line[strings.Index(line, before)+len(before):])}, nil
}

// Load starts a client that sends requests.
func (p *Programs) Load(ctx context.Context, address string, args ...string) (*Process, error) {
	return p.Start(ctx, "foo", append([]string{"load", "--json", "--connect", address}, args...)...)
}

// Sidecar is a sidecar that runs.
type Sidecar struct {
	*Process
	Address string // of its listener
	Admin   string
}

// Sidecar starts a sidecar in front of an upstream and returns when it serves.
// Later flags win over those that it is given here.
func (p *Programs) Sidecar(ctx context.Context, upstream string, args ...string) (*Sidecar, error) {
	process, err := p.Start(ctx, "sidecar", append([]string{"--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--forward", upstream}, args...)...)
	if err != nil {
		return nil, err
	}
	s := &Sidecar{Process: process}
	if _, err = process.stderr.line(ctx, `"sidecar started"`); err == nil {
		s.Address, err = process.logged(ctx, `"msg":"listening"`, "address")
	}
	if err == nil {
		s.Admin, err = process.logged(ctx, `"admin server listening"`, "address")
	}
	if err != nil {
		return nil, fmt.Errorf("start a sidecar: %w", err)
	}
	return s, nil
}

// URL is where the status page is.
func (s *Sidecar) URL() string { return "http://" + s.Admin + "/" }

// Stats reads /stats into document.
func (s *Sidecar) Stats(ctx context.Context, document any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"stats", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return json.NewDecoder(resp.Body).Decode(document)
}

// logged waits for a line of the log and returns one of its values.
func (p *Process) logged(ctx context.Context, part, key string) (string, error) {
	line, err := p.stderr.line(ctx, part)
	if err != nil {
		return "", err
	}
	var record map[string]any
	if err := json.Unmarshal([]byte(line), &record); err != nil {
		return "", fmt.Errorf("the log is not JSON: %w: %s", err, line)
	}
	value, _ := record[key].(string)
	return value, nil
}

// output collects what a process writes, and tells about each write.
type output struct {
	mu      sync.Mutex // guards buf
	buf     bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{}, 1)} }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return o.buf.Write(p)
}

// String returns all that was written.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// line waits for a whole line that contains part.
func (o *output) line(ctx context.Context, part string) (string, error) {
	limit := time.After(Patience)
	for {
		for line := range strings.Lines(o.String()) {
			if strings.HasSuffix(line, "\n") && strings.Contains(line, part) {
				return line, nil
			}
		}
		select {
		case <-o.changed:
		case <-ctx.Done():
			return "", ctx.Err()
		case <-limit:
			return "", fmt.Errorf("waited in vain for a line with %q in:\n%s", part, o)
		}
	}
}
