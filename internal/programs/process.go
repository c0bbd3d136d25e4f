package programs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Process is a program that runs.
type Process struct {
	Stdout, Stderr *Output

	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended, and all that it wrote is there
}

func (p *Process) wait() {
	defer close(p.ended)
	_ = p.cmd.Wait() // The exit code tells.
}

func (p *Process) kill() {
	_ = p.cmd.Process.Kill() // It may have ended.
	p.Wait()
}

// String returns the name of the program.
func (p *Process) String() string { return filepath.Base(p.cmd.Path) }

// PID returns the number that the system knows the process by.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal, unless the process has ended, which may happen at any
// time.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s the signal %s: %w", p, s, err)
	}
	return nil
}

// Stop asks the process to end, and returns when it has.
func (p *Process) Stop() {
	if err := p.Signal(os.Interrupt); err != nil {
		p.kill() // Windows cannot ask.
	}
	p.Wait()
}

// Ended returns a channel that is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits for the end of the process and returns its exit code, -1 if it was
// killed.
func (p *Process) Wait() int {
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

// report waits for the end and reads what the process reports then.
func (p *Process) report(report any) error {
	p.Wait()
	if err := json.Unmarshal([]byte(p.Stdout.String()), report); err != nil {
		return fmt.Errorf("the report of %s: %w: %s%s", p, err, p.Stdout, p.Stderr)
	}
	return nil
}

// Output collects what is written, and tells about each write.
type Output struct {
	mu      sync.Mutex // guards buf
	buf     bytes.Buffer
	changed chan struct{}
	ended   <-chan struct{} // closed when nothing more will come; nil if nobody knows
}

// NewOutput returns an output that is empty.
func NewOutput() *Output { return &Output{changed: make(chan struct{}, 1)} }

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return o.buf.Write(p)
}

// String returns all that was written.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Await waits until ok is true, and asks it after each write. One may wait at a
// time.
func (o *Output) Await(ctx context.Context, ok func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, errors.New("waited in vain"))
	defer cancel()
	for ended := false; !ok(); {
		if ended {
			return errors.New("the program has ended")
		}
		select {
		case <-o.changed:
		case <-o.ended:
			ended = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Lines returns the whole lines that contain all the parts.
func (o *Output) Lines(parts ...string) (found []string) {
	for line := range strings.Lines(o.String()) {
		matches := strings.HasSuffix(line, "\n")
		for _, part := range parts {
			matches = matches && strings.Contains(line, part)
		}
		if matches {
			found = append(found, line)
		}
	}
	return found
}

// Line waits for a whole line that contains all the parts.
func (o *Output) Line(ctx context.Context, parts ...string) (string, error) {
	var found []string
	if err := o.Await(ctx, func() bool { found = o.Lines(parts...); return len(found) > 0 }); err != nil {
		return "", fmt.Errorf("%w, without a line with %q:\n%s", err, parts, o)
	}
	return found[0], nil
}

// Logged waits for a line of a log that contains all the parts, and returns what
// it has as key.
func (o *Output) Logged(ctx context.Context, key string, parts ...string) (string, error) {
	line, err := o.Line(ctx, parts...)
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
