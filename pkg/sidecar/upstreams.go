package sidecar

import (
	"reflect"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/foo-protocol/foo-sidecar/config"
	"github.com/foo-protocol/foo-sidecar/pkg/upstream"
)

// upstreams are the upstreams of the configuration in force. Sessions keep the
// one that they began with.
type upstreams struct {
	mu   sync.Mutex // guards list; nothing blocks under it
	list upstreamPlan
}

// upstreamPlan is a list of upstreams in the order of the configuration.
type upstreamPlan []namedUpstream

type namedUpstream struct {
	config   config.Upstream
	upstream *upstream.Upstream
}

// plan returns the upstreams that are wanted: those that did not change, with
// what is known of their endpoints, and new ones.
func (us *upstreams) plan(wanted []config.Upstream, log logr.Logger) upstreamPlan {
	us.mu.Lock()
	defer us.mu.Unlock()
	plan := make(upstreamPlan, 0, len(wanted))
	for _, w := range wanted {
		n := namedUpstream{config: w}
		for _, old := range us.list {
			if reflect.DeepEqual(old.config, w) {
				n.upstream = old.upstream
			}
		}
		if n.upstream == nil {
			n.upstream = upstream.New(upstream.Options{
				Name:           w.Name,
				Addresses:      w.Addresses,
				ConnectTimeout: time.Duration(w.ConnectTimeout),
				KeepAlive:      time.Duration(w.KeepAlive),
				Log:            log,
			})
		}
		plan = append(plan, n)
	}
	return plan
}

func (us *upstreams) set(plan upstreamPlan) {
	us.mu.Lock()
	defer us.mu.Unlock()
	us.list = plan
}

// get returns the upstream with the given name, which the configuration has.
func (us *upstreams) get(name string) *upstream.Upstream {
	us.mu.Lock()
	defer us.mu.Unlock()
	for _, n := range us.list {
		if n.config.Name == name {
			return n.upstream
		}
	}
	panic("BUG: the configuration refers to no upstream " + name)
}

func (us *upstreams) stats() []upstream.Stats {
	us.mu.Lock()
	defer us.mu.Unlock()
	stats := make([]upstream.Stats, len(us.list))
	for i, n := range us.list {
		stats[i] = n.upstream.Stats()
	}
	return stats
}
