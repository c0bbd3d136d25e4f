package demo

import (
	"os"
	"syscall"
)

// ownGroup makes the sidecar the leader of a process group of its own, so that
// a terminal's Ctrl-C reaches this process alone, which stops things in order.
// Should this process be killed the kernel tells the sidecar to stop.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
