package sidecar

import (
	"context"
	"time"
)

// probeInterval is how often upstreams are tried for the sake of readiness.
const probeInterval = 2 * time.Second

// probe dials the upstreams as long as readiness depends on them: where the
// sidecar is idle or not ready, no session would find out whether they are
// there.
func (s *sidecar) probe(ctx context.Context) {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		if s.state.config().Admin.Readiness.RequireUpstream {
			for _, u := range s.upstreams.current() {
				if conn, err := u.upstream.Dial(ctx); err == nil { // it remembers how that went
					conn.Close()
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
