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
)
