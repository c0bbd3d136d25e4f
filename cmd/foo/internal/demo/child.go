package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// logTail is how many lines of the log are shown when the sidecar has failed.
const logTail = 5

// child is the sidecar's process.
type child struct {
	cmd     *exec.Cmd
	log     *os.File
	pidFile string
	ended   chan struct{} // closed when err is set
	err     error         // why the process ended; nil if its exit code was 0
}

// start starts the sidecar and writes the file with its process id. What the
// sidecar prints is shown on the screen.
func (o *Options) start(screen *screen) (*child, error) {
	for _, file := range []string{o.PIDFile, o.LogFile} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, fmt.Errorf("make room for %s: %w", file, err)
		}
	}
	log, err := os.Create(o.LogFile)
	if err != nil {
		return nil, fmt.Errorf("create the sidecar's log: %w", err)
	}
	args := []string{
		"--listen", o.Listen, "--forward", o.Forward, "--http", o.HTTP, "--recovery-path", o.RecoveryPath,
	}
	cmd := exec.Command(o.Sidecar, append(args, o.Args...)...) //nolint:gosec // the user's choice
	cmd.Stdout, cmd.Stderr = screen, log
	cmd.SysProcAttr = ownGroup()
	cmd.WaitDelay = time.Second // for what the sidecar may have left behind and that holds its standard output
	if err := cmd.Start(); err != nil {
		_ = log.Close()
		return nil, fmt.Errorf("start the sidecar: %w", err)
	}
	c := &child{cmd: cmd, log: log, pidFile: o.PIDFile, ended: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.ended)
	}()
	if err := os.WriteFile(o.PIDFile, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("write the sidecar's process id: %w", err), c.stop(0))
	}
	return c, nil
}

// alive reports whether the process has not ended.
func (c *child) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// context returns a context that ends with the process, too.
func (c *child) context(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	go func() {
		select {
		case <-c.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// stop tells the process to stop, kills it if it takes too long, and cleans
// up. It reports whether the process did not stop as it should have.
func (c *child) stop(timeout time.Duration) (err error) {
	if c.alive() {
		asked := terminate(c.cmd.Process) == nil
		if asked {
			select {
			case <-c.ended:
			case <-time.After(timeout):
				err = fmt.Errorf("the sidecar did not stop within %v and was killed", timeout)
			}
		}
		_ = c.cmd.Process.Kill() // it may have ended, or know no other way to
		<-c.ended
		if asked && err == nil && c.err != nil {
			err = c.explain(fmt.Errorf("the sidecar was told to stop: %w", c.err))
		}
	}
	_ = c.log.Close()
	if removeErr := os.Remove(c.pidFile); removeErr != nil && !errors.Is(removeErr, os.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("remove the file with the sidecar's process id: %w", removeErr))
	}
	return err
}

// explain adds the end of the log to an error.
func (c *child) explain(err error) error {
	text, readErr := os.ReadFile(c.log.Name())
	if readErr != nil || len(text) == 0 {
		return fmt.Errorf("%w; its log %s is empty", err, c.log.Name())
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = lines[max(0, len(lines)-logTail):]
	return fmt.Errorf("%w; its log %s ends with\n  %s", err, c.log.Name(), strings.Join(lines, "\n  "))
}
