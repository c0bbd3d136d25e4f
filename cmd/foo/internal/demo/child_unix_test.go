//go:build unix

package demo

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// stopContext returns a context that ends when the process is told to stop,
// unless it is deaf.
func stopContext(deaf bool) (context.Context, context.CancelFunc) {
	if deaf {
		signal.Ignore(syscall.SIGTERM)
		return context.WithCancel(context.Background())
	}
	return signal.NotifyContext(context.Background(), syscall.SIGTERM)
}

// exists reports whether a process is there.
func exists(p *os.Process) bool { return p.Signal(syscall.Signal(0)) == nil }

func TestCtrlCDoesNotReachTheSidecar(t *testing.T) {
	r := start(t, good, nil)
	r.await(t, "Ctrl-C")
	p := r.process(t)
	group, err := syscall.Getpgid(p.Pid)
	if err != nil || group != p.Pid {
		t.Errorf("process group of the sidecar: got %d, %v, want its own, %d", group, err, p.Pid)
	}
	r.cancel()
	if err := r.wait(t, p); err != nil {
		t.Error(err)
	}
}
