package sidecar

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/foo-protocol/foo-sidecar/config"
	"github.com/foo-protocol/foo-sidecar/pkg/admin"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// adminServer is the HTTP server, which moves when its address changes.
type adminServer struct {
	mu      sync.Mutex // guards the fields below; nothing blocks under it
	address string
	end     context.CancelFunc
	done    chan struct{} // closed when the server has ended
}

// adminPlan is the socket for a server that moves, nil if it stays.
type adminPlan struct {
	address string
	socket  net.Listener
}

// plan opens the socket of a new address.
func (a *adminServer) plan(ctx context.Context, wanted config.Admin) (*adminPlan, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.address == wanted.Address {
		return &adminPlan{}, nil
	}
	// A Unix socket is for whoever may look into its directory.
	socket, err := listen(ctx, wanted.Address, 0o666)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	return &adminPlan{address: wanted.Address, socket: socket}, nil
}

// setAdmin starts the server on the socket of a change, and ends the one
// before.
func (s *sidecar) setAdmin(ctx context.Context, c *change) {
	if c.admin.socket == nil {
		return
	}
	server := admin.NewServer(admin.Options{
		Version: s.options.Version,
		Live:    func() admin.Live { return admin.Live{UptimeSeconds: s.now().Seconds()} },
		Status:  s.status,
		Stats:   func() ([]byte, error) { return s.snapshot().Stats().MarshalLine() },
		Config: func() admin.Config {
			return admin.Config{ConfigStatus: s.configStatus(), Effective: s.state.config()}
		},
		Metrics: telemetry.NewHandler(s.observation.gatherer, s.log.WithName("metrics")),
		Events:  s.events,
		Recent:  func() any { return s.observation.inspector.Recent() },
		Tap:     s.tap,
		Pprof:   func() bool { return s.state.config().Admin.PProf },
		Log:     s.log.WithName("admin"),
	})
	serving, end := context.WithCancel(ctx)
	done := make(chan struct{})
	s.group.Go(func() error {
		defer close(done)
		return server.Serve(serving, c.admin.socket)
	})
	s.log.Info("admin server listening", "address", boundAddress(c.admin.socket))

	s.admin.mu.Lock()
	endOld := s.admin.end
	s.admin.address, s.admin.end, s.admin.done = c.admin.address, end, done
	s.admin.mu.Unlock()
	if endOld != nil {
		endOld()
	}
}

// stop returns when the server has ended.
func (a *adminServer) stop() {
	a.mu.Lock()
	end, done := a.end, a.done
	a.mu.Unlock()
	if end != nil {
		end()
		<-done
	}
}

// status says whether the sidecar is ready, and how its parts are.
func (s *sidecar) status() admin.Status {
	cfg, snapshot := s.state.config(), s.snapshot()
	status := admin.Status{
		Config:     s.configStatus(),
		Checkpoint: checkpointStatus(snapshot.Checkpoint),
	}
	inFlight := make(map[string]int64)
	for _, l := range snapshot.Listeners {
		inFlight[l.Name] = l.Counts.InFlight()
	}
	for _, l := range s.listeners.list() {
		status.Listeners = append(status.Listeners, admin.ListenerStatus{
			Name:        l.config.Name,
			Address:     boundAddress(l.socket),
			Upstream:    l.config.Upstream,
			Bound:       l.accepting(),
			Connections: int64(l.proxy.Sessions()),
			InFlight:    inFlight[l.config.Name],
		})
		if !l.accepting() {
			status.Reasons = append(status.Reasons, fmt.Sprintf("listener %s does not accept connections", l.config.Name))
		}
	}
	reachable := false
	for _, u := range snapshot.Upstreams {
		reachable = reachable || u.Reachable() && u.Tried()
		us := admin.UpstreamStatus{Name: u.Name, Reachable: u.Reachable(), Connections: u.Open}
		for _, e := range u.Endpoints {
			us.Endpoints = append(us.Endpoints, admin.EndpointStatus(e))
		}
		status.Upstreams = append(status.Upstreams, us)
	}
	if cfg.Admin.Readiness.RequireUpstream && !reachable {
		status.Reasons = append(status.Reasons, "no upstream can be reached, or none has been yet")
	}
	if since := s.state.drainingSince(); !since.IsZero() {
		status.Reasons = append(status.Reasons, "draining")
		status.Drain = admin.DrainStatus{
			Draining:    true,
			Since:       since,
			Connections: snapshot.All.Counts.Sessions(),
			InFlight:    snapshot.All.Counts.InFlight(),
		}
	}
	return status
}

// accepting reports whether l accepts connections.
func (l *listener) accepting() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

func (s *sidecar) configStatus() admin.ConfigStatus {
	c := s.state.get()
	return admin.ConfigStatus{
		Generation:  c.Generation,
		Hash:        c.Hash,
		LoadedAt:    c.LoadedAt,
		Degraded:    c.Degraded,
		LastError:   c.LastError,
		LastErrorAt: c.LastErrorAt,
	}
}

func checkpointStatus(c telemetry.CheckpointState) admin.CheckpointStatus {
	return admin.CheckpointStatus{
		Enabled:     c.Enabled,
		Store:       c.Store,
		Working:     c.Working,
		LastSuccess: c.LastSuccess,
		LastError:   c.LastError,
	}
}

// snapshot returns everything that is known now.
func (s *sidecar) snapshot() telemetry.Snapshot {
	snapshot := s.registry.Snapshot()
	snapshot.Version = s.options.Version
	snapshot.Upstreams = s.upstreams.stats()
	snapshot.Config = s.state.get()
	snapshot.Checkpoint = s.keeper.state()
	snapshot.Recovered = s.keeper.recovered()
	snapshot.LogLines = s.log.Lines()
	s.observation.addTo(&snapshot)
	for _, l := range s.listeners.list() {
		age := l.proxy.Oldest()
		snapshot.All.OldestRequest = max(snapshot.All.OldestRequest, age)
		for i := range snapshot.Listeners {
			if t := &snapshot.Listeners[i]; t.Name == l.config.Name {
				t.OldestRequest = age
			}
		}
	}
	return snapshot
}
