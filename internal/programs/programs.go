package programs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Patience bounds every wait for something that should happen soon.
const Patience = time.Minute

// Programs are the programs under test.
type Programs struct {
	// Dir is where each process gets a directory of its own, and Env is added to
	// its environment.
	Dir string
	Env []string

	bin string
}

// Build builds the programs into dir, with more flags for "go build".
func Build(ctx context.Context, dir string, flags ...string) (Programs, error) {
	const module = "github.com/foo-protocol/foo-sidecar"
	// Who asks may be in another module of the repository.
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return Programs{}, fmt.Errorf("find the sources of %s: %w", module, err)
	}
	args := slices.Concat([]string{"build", "-o", dir + string(filepath.Separator)}, flags, []string{"./cmd/sidecar", "./cmd/foo"})
	build := exec.CommandContext(ctx, "go", args...)
	build.Dir = strings.TrimSpace(string(root))
	if out, err := build.CombinedOutput(); err != nil {
		return Programs{}, fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return Programs{Dir: dir, bin: dir}, nil
}

// Path is where the program of that name is.
func (p Programs) Path(name string) string { return filepath.Join(p.bin, name) }

// Start starts one of the programs by its name, or any other by its absolute
// path. It is killed when ctx ends.
func (p Programs) Start(ctx context.Context, name string, args ...string) (*Process, error) {
	if !filepath.IsAbs(name) {
		name = p.Path(name)
	}
	return p.StartCommand(exec.CommandContext(ctx, name, args...))
}

// StartCommand starts a command in a directory and an environment as the programs
// get them. What it writes is collected, unless the command has another place for
// it.
func (p Programs) StartCommand(cmd *exec.Cmd) (*Process, error) {
	name := filepath.Base(cmd.Path)
	dir, err := os.MkdirTemp(p.Dir, name)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	cmd.Dir = dir
	// A process with the race detector would sleep for a second before it ends.
	cmd.Env = slices.Concat(os.Environ(), []string{"GORACE=atexit_sleep_ms=0"}, p.Env)
	process := &Process{Stdout: NewOutput(), Stderr: NewOutput(), cmd: cmd, ended: make(chan struct{})}
	process.Stdout.ended, process.Stderr.ended = process.ended, process.ended
	if cmd.Stdout == nil {
		cmd.Stdout = process.Stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = process.Stderr
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go process.wait()
	return process, nil
}

// Serve starts a Foo server and returns when it listens. Later flags win over
// those that it is given here.
func (p Programs) Serve(ctx context.Context, args ...string) (*Server, error) {
	process, err := p.Start(ctx, "foo", append([]string{"serve", "--listen", "127.0.0.1:0", "--stats-on-exit"}, args...)...)
	if err != nil {
		return nil, err
	}
	const before = "listening on "
	line, err := process.Stderr.Line(ctx, before)
	if err != nil {
		process.kill()
		return nil, fmt.Errorf("start a Foo server: %w", err)
	}
	_, address, _ := strings.Cut(line, before)
	return &Server{process, strings.TrimSpace(address)}, nil
}

// Sidecar starts a sidecar in front of an upstream and returns when it serves.
// Later flags win over those that it is given here.
func (p Programs) Sidecar(ctx context.Context, upstream string, args ...string) (*Sidecar, error) {
	process, err := p.Start(ctx, "sidecar", append([]string{"--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--forward", upstream}, args...)...)
	if err != nil {
		return nil, err
	}
	return process.Sidecar(ctx)
}

// Load starts a client that sends requests.
func (p Programs) Load(ctx context.Context, address string, args ...string) (*Client, error) {
	process, err := p.Start(ctx, "foo", append([]string{"load", "--json", "--connect", address}, args...)...)
	if err != nil {
		return nil, err
	}
	return &Client{process}, nil
}
