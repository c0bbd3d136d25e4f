//go:build !unix

package main

import "os"

// This system knows neither USR2 nor HUP: there are /stats and the watched file.
var (
	endSignals    = []os.Signal{os.Interrupt}
	reportSignals []os.Signal
	reloadSignals []os.Signal

	ignoredSignals []os.Signal
)
