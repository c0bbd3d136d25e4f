package sidecar

import (
	"reflect"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/foo-protocol/foo-sidecar/config"
	"github.com/foo-protocol/foo-sidecar/pkg/upstream"
)

// upstreams are the upstreams of the configuration in force. Connections to the
// ones before are left as they are.
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

// current returns the upstreams in force. Nobody changes the list.
func (us *upstreams) current() upstreamPlan {
	us.mu.Lock()
	defer us.mu.Unlock()
	return us.list
}

func (us *upstreams) stats() []upstream.Stats {
	current := us.current()
	stats := make([]upstream.Stats, len(current))
	for i, n := range current {
		stats[i] = n.upstream.Stats()
	}
	return stats
}
