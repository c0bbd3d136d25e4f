package main

import (
	"os"
	"os/signal"
	"sync"
)

// pending is how many signals of a kind may wait to be handled.
const pending = 64

// listen begins to handle signals: those that end the process, and the ones
// that ask for the statistics and for a reload, where the system has them.
func listen() signals {
	end := make(chan os.Signal, pending)
	signal.Notify(end, endSignals...)
	if len(ignoredSignals) > 0 { // none would mean all of them
		signal.Ignore(ignoredSignals...)
	}
	report, stopReport := forward(reportSignals)
	reload, stopReload := forward(reloadSignals)
	return signals{
		end:    end,
		report: report,
		reload: reload,
		stop: func() {
			signal.Stop(end)
			stopReport()
			stopReload()
		},
	}
}

// forward turns signals into requests. It gives up what still waits when it is
// stopped.
func forward(which []os.Signal) (requests <-chan struct{}, stop func()) {
	if len(which) == 0 { // none would mean all of them
		return nil, func() {}
	}
	in, out, done := make(chan os.Signal, pending), make(chan struct{}), make(chan struct{})
	signal.Notify(in, which...)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-in:
			case <-done:
				return
			}
			select {
			case out <- struct{}{}:
			case <-done:
				return
			}
		}
	})
	return out, func() {
		signal.Stop(in)
		close(done)
		running.Wait()
	}
}
