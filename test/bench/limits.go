//go:build linux

package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// allowFiles lets this program, and those that it starts, open as many files.
// The error says how many there may be.
func allowFiles(n uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("ask how many files may be open: %w", err)
	}
	raised := syscall.Rlimit{Cur: max(limit.Cur, n), Max: max(limit.Max, n)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
		return fmt.Errorf("%d open files are needed, and %d are allowed (ulimit -Hn): %w", n, limit.Max, err)
	}
	return nil
}

// portsReturn reports why ports may run out if each request has a connection of
// its own. The side that closes first keeps its port for a minute, unless the
// system lets it be used again, which between local addresses is the default.
func portsReturn() error {
	const setting = "/proc/sys/net/ipv4/tcp_tw_reuse"
	text, err := os.ReadFile(setting)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(text)) == "0" {
		return fmt.Errorf("%s is 0, so ports would run out: set it to 2", setting)
	}
	return nil
}

// feasible reports what the system lacks for a subject under a workload.
func (s subject) feasible(w workload) error {
	if w.churn {
		if err := portsReturn(); err != nil {
			return err
		}
	}
	// Besides its connections, a program has some other files.
	return allowFiles(uint64(cmp.Or(s.files, 2)*w.connections + 100))
}
