//go:build unix

package main

import (
	"os"
	"syscall"
)

var (
	endSignals    = []os.Signal{syscall.SIGTERM, os.Interrupt}
	reportSignals = []os.Signal{syscall.SIGUSR2}
	reloadSignals = []os.Signal{syscall.SIGHUP}
	// Whoever reads the statistics or the log may leave. Writing then fails, and
	// traffic goes on.
	ignoredSignals = []os.Signal{syscall.SIGPIPE}
)
