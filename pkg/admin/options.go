package admin

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/go-logr/logr"
)

// Options configures a Handler and a Server. A path whose source is nil does
// not exist, except for /health and /status, which then are always good.
type Options struct {
	// Version is the sidecar's.
	Version string
	// Live answers /health and /heartbeat.
	Live func() Live
	// Status answers /status.
	Status func() Status
	// Stats answers /stats: one line of JSON, the same that is printed on a
	// signal, passed on as it is.
	Stats func() ([]byte, error)
	// Config answers /config.
	Config func() Config
	// Metrics answers /metrics, unless the client prefers JSON.
	Metrics http.Handler
	// Events makes the document of the status page: one JSON object with the
	// members that docs/http.md names. The first one that a page gets has the
	// whole history; others need the newest points only. It is called once a
	// second while somebody looks, never concurrently. Nil means that there is no
	// status page.
	Events func(first bool) ([]byte, error)
	// Recent answers /debug/recent.
	Recent func() any
	// Tap starts a stream of pairs, which ends with ctx. Each element is one line
	// of JSON and ends in a newline; the channel may be closed. What the reader
	// doesn't take in time is to be left out: the reader may be slow. An error is
	// [ErrTooMany], or says what is wrong with the query.
	Tap func(ctx context.Context, query TapQuery) (<-chan []byte, error)
	// Pprof says whether there is /debug/pprof/ now. Nil means never.
	Pprof func() bool
	// Log is told of panics and of the HTTP server's own troubles. The zero
	// Logger tells nobody.
	Log logr.Logger

	// ReadHeaderTimeout and ReadTimeout bound how long a client may take to send
	// the headers and the whole of a request. Zero means 5s and 10s.
	ReadHeaderTimeout, ReadTimeout time.Duration
	// WriteTimeout bounds how long an answer may take, beyond the time that a
	// profile was asked to take. Zero means 30s.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection is kept for the next request. Zero
	// means 2m, more than the usual interval of probes and scrapes.
	IdleTimeout time.Duration
	// ShutdownTimeout bounds how long requests in progress may go on after the
	// end of Serve's context. Zero means 1s.
	ShutdownTimeout time.Duration
}

func (o Options) withDefaults() Options {
	o.ReadHeaderTimeout = cmp.Or(o.ReadHeaderTimeout, 5*time.Second)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, 10*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 30*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 2*time.Minute)
	o.ShutdownTimeout = cmp.Or(o.ShutdownTimeout, time.Second)
	if o.Live == nil {
		o.Live = func() Live { return Live{} }
	}
	if o.Status == nil {
		o.Status = func() Status { return Status{} }
	}
	return o
}

// Live says whether the process is alive. The zero Live is.
type Live struct {
	// Reason is why the process can't recover by itself, and should be restarted.
	// Empty means that it is alive.
	Reason string `json:"reason,omitempty"`
	// UptimeSeconds is how long the process has been running.
	UptimeSeconds float64 `json:"uptime_seconds"`
}

// Status says whether the sidecar is ready for clients, and how its parts are.
// The zero Status is ready.
type Status struct {
	// Reasons are why the sidecar is not ready. None means that it is.
	Reasons    []string         `json:"reasons,omitempty"`
	Listeners  []ListenerStatus `json:"listeners,omitempty"`
	Upstreams  []UpstreamStatus `json:"upstreams,omitempty"`
	Config     ConfigStatus     `json:"config"`
	Checkpoint CheckpointStatus `json:"checkpoint"`
	Drain      DrainStatus      `json:"drain"`
}

// Document returns what /status answers, for JSON.
func (s Status) Document(version string) any {
	state := "ready"
	if len(s.Reasons) > 0 {
		state = "not ready"
	}
	return struct {
		State   string `json:"status"`
		Version string `json:"version"`
		Status
	}{state, version, s}
}

// ListenerStatus is how one listener is.
type ListenerStatus struct {
	Name        string `json:"name"`
	Address     string `json:"address"`
	Upstream    string `json:"upstream"`
	Bound       bool   `json:"bound"`
	Connections int64  `json:"connections"`
	InFlight    int64  `json:"in_flight"`
	// Error is why it is not bound.
	Error string `json:"error,omitempty"`
}

// UpstreamStatus is how one upstream is.
type UpstreamStatus struct {
	Name        string           `json:"name"`
	Reachable   bool             `json:"reachable"`
	Connections int64            `json:"connections"`
	Endpoints   []EndpointStatus `json:"endpoints"`
}

// EndpointStatus is how one endpoint of an upstream is.
type EndpointStatus struct {
	Address string `json:"address"`
	Dialed  int64  `json:"dialed"`
	Failed  int64  `json:"failed"`
	// LastError is the last attempt's failure, empty if it succeeded.
	LastError   string    `json:"last_error,omitempty"`
	LastFailure time.Time `json:"last_failure,omitzero"`
}

// ConfigStatus says which configuration is running, and how the last reload
// went.
type ConfigStatus struct {
	Generation int64     `json:"generation"`
	Hash       string    `json:"hash"`
	LoadedAt   time.Time `json:"loaded_at,omitzero"`
	// Degraded means that what runs is not what the configuration file says.
	Degraded bool `json:"degraded"`
	// LastError is why the last reload was refused, empty if it was not.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// CheckpointStatus is how checkpoints are saved.
type CheckpointStatus struct {
	Enabled     bool      `json:"enabled"`
	Store       string    `json:"store,omitempty"`
	Working     bool      `json:"working"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
}

// DrainStatus says how far draining has got.
type DrainStatus struct {
	Draining bool      `json:"draining"`
	Since    time.Time `json:"since,omitzero"`
	// Connections and InFlight are what is still waited for.
	Connections int64 `json:"connections"`
	InFlight    int64 `json:"in_flight"`
}

// Config is the configuration that is running.
type Config struct {
	ConfigStatus
	// Effective is the whole document, with defaults and without secrets.
	Effective any `json:"effective"`
}
