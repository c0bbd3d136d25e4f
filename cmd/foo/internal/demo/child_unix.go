//go:build unix && !linux

package demo

import (
	"os"
	"syscall"
)

// ownGroup makes the sidecar the leader of a process group of its own, so that
// a terminal's Ctrl-C reaches this process alone, which stops things in order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
