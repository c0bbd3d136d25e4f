package programstest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

// Programs are the programs under test.
type Programs struct{ programs.Programs }

// Main builds the programs, with more flags for "go build", and runs the tests. It
// returns the exit code.
func Main(m *testing.M, built *Programs, flags ...string) int {
	dir, err := os.MkdirTemp("", "foo-programs")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		built.Programs, err = programs.Build(context.Background(), dir, flags...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// With returns the programs with more in their environment.
func (p Programs) With(env ...string) Programs {
	p.Env = slices.Concat(p.Env, env)
	return p
}

// in returns the programs as a test starts them.
func (p Programs) in(t testing.TB) programs.Programs {
	t.Helper()
	p.Dir = t.TempDir()
	return p.Programs
}

// Start starts one of the programs by its name, or any other by its absolute
// path.
func (p Programs) Start(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	process, err := p.in(t).Start(t.Context(), name, args...)
	check(t, err)
	return attend(t, process)
}

// StartCommand starts a command that goes with the test's context.
func (p Programs) StartCommand(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	process, err := p.in(t).StartCommand(cmd)
	check(t, err)
	return attend(t, process)
}

// Serve starts a Foo server and returns when it listens.
func (p Programs) Serve(t testing.TB, args ...string) *Server {
	t.Helper()
	server, err := p.in(t).Serve(t.Context(), args...)
	check(t, err)
	return &Server{attend(t, server.Process), server.Address, server}
}

// Sidecar starts a sidecar in front of an upstream and returns when it serves.
func (p Programs) Sidecar(t testing.TB, upstream string, args ...string) *Sidecar {
	t.Helper()
	sidecar, err := p.in(t).Sidecar(t.Context(), upstream, args...)
	check(t, err)
	return newSidecar(attend(t, sidecar.Process), sidecar)
}

// Load starts a client that sends requests.
func (p Programs) Load(t testing.TB, address string, args ...string) *Client {
	t.Helper()
	client, err := p.in(t).Load(t.Context(), address, args...)
	check(t, err)
	return &Client{attend(t, client.Process), client}
}

// attend waits at the end of the test for the end of the process, which the test's
// context brings about.
func attend(t testing.TB, process *programs.Process) *Process {
	t.Helper()
	t.Cleanup(func() {
		process.Wait()
		if t.Failed() {
			const last = 30
			lines := strings.Split(process.Stderr.String(), "\n")
			t.Logf("%s wrote to standard error at last:\n%s", process, strings.Join(lines[max(0, len(lines)-last):], "\n"))
		}
	})
	return &Process{process, t, &Output{process.Stdout, t}, &Output{process.Stderr, t}}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Process is a program that runs.
type Process struct {
	*programs.Process

	t              testing.TB
	Stdout, Stderr *Output
}

// Signal sends a signal, unless the process has ended.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	check(p.t, p.Process.Signal(s))
}

// ExpectExit expects that the process ends soon, with that exit code.
func (p *Process) ExpectExit(code int) {
	p.t.Helper()
	select {
	case <-p.Ended():
	case <-time.After(programs.Patience):
		p.t.Fatalf("%s does not end", p)
	}
	if got := p.Wait(); got != code {
		p.t.Errorf("%s: exit code %d, want %d\n%s", p, got, code, p.Stderr)
	}
}

// Sidecar waits until the process, a sidecar with one listener, serves.
func (p *Process) Sidecar() *Sidecar {
	p.t.Helper()
	sidecar, err := p.Process.Sidecar(p.t.Context())
	check(p.t, err)
	return newSidecar(p, sidecar)
}

// Output is what a process writes.
type Output struct {
	*programs.Output

	t testing.TB
}

// Line waits for a whole line that contains all the parts.
func (o *Output) Line(parts ...string) string {
	o.t.Helper()
	line, err := o.Output.Line(o.t.Context(), parts...)
	check(o.t, err)
	return line
}

// Logged waits for a line of a log that contains all the parts, and returns what
// it has as key.
func (o *Output) Logged(key string, parts ...string) string {
	o.t.Helper()
	value, err := o.Output.Logged(o.t.Context(), key, parts...)
	check(o.t, err)
	return value
}

// Configure writes the configuration file of a sidecar.
func Configure(t testing.TB, file, settings string) {
	t.Helper()
	document := "apiVersion: foo-protocol.io/v1alpha1\nkind: SidecarConfig\n" + settings + "\n"
	check(t, os.WriteFile(file, []byte(document), 0o600))
}

// Configuration writes a configuration file for a sidecar and returns its name.
func Configuration(t testing.TB, settings string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sidecar.yaml")
	Configure(t, file, settings)
	return file
}
