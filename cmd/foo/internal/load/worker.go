package load

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// worker is one of the connections that are used at a time, with all that
// outlives its loss.
type worker struct {
	run      *run
	quota    *quota
	schedule schedule // used by the session's sender only

	mu         sync.Mutex // guards everything below, and what a session says
	counts     Counts
	texts      texts
	latency    telemetry.Histogram
	lastAnswer time.Duration
	overslept  time.Duration // at most
}

// work uses conn until there is nothing more to send or sending ends. If conn
// is nil or lost, or has had all the requests that it may, it is replaced, where
// the options say so.
func (w *worker) work(sending context.Context, conn net.Conn) {
	for {
		lost := true
		if conn != nil {
			lost = newSession(w, conn).work(sending)
		}
		if w.quota.empty() || !w.mayReplace(sending, lost) {
			return
		}
		conn = w.dial(sending)
	}
}

// mayReplace reports whether there may be another connection now. For one that
// was lost it waits a moment.
func (w *worker) mayReplace(sending context.Context, lost bool) bool {
	if lost {
		return w.run.opts.Reconnect && sleep(sending, reconnectPause)
	}
	return w.run.opts.RequestsPerConnection > 0 && sending.Err() == nil
}

// sleep waits for d. It returns false at once when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
