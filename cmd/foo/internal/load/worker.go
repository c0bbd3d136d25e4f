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
// is nil or lost it is replaced, where the options say so.
func (w *worker) work(sending context.Context, conn net.Conn) {
	for {
		if conn != nil {
			lost := newSession(w, conn).work(sending)
			if !lost {
				return
			}
		}
		if !w.run.opts.Reconnect || w.quota.empty() || !sleep(sending, reconnectPause) {
			return
		}
		conn = w.dial(sending)
	}
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
