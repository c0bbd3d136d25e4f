package sidecar

import (
	"context"
	"time"
)

// probeInterval is how often an upstream that can't be reached is tried for the
// sake of readiness.
const probeInterval = 2 * time.Second

// probe dials upstreams that can't be reached, as long as readiness depends on
// them: where the sidecar is not ready, no client comes whose session would
// find out that they are back.
func (s *sidecar) probe(ctx context.Context) {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.state.config().Admin.Readiness.RequireUpstream {
			continue
		}
		for _, u := range s.upstreams.current() {
			if u.upstream.Stats().Reachable() {
				continue
			}
			if conn, err := u.upstream.Dial(ctx); err == nil { // it remembers how that went
				conn.Close()
			}
		}
	}
}
