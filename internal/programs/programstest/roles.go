package programstest

import (
	"runtime"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

// Server is a Foo server that runs.
type Server struct {
	*Process
	Address string

	server *programs.Server
}

// Finish ends the server and returns what it counted.
func (s *Server) Finish() programs.Served {
	s.t.Helper()
	served, err := s.server.Finish()
	check(s.t, err)
	return served
}

// Client is a client that sends requests.
type Client struct {
	*Process

	client *programs.Client
}

// Report waits for the end of the client and returns what it counted.
func (c *Client) Report() programs.Report {
	c.t.Helper()
	report, err := c.client.Report()
	check(c.t, err)
	return report
}

// Sidecar is a sidecar that runs.
type Sidecar struct {
	*Process
	Address string // of its listener
	Admin   string

	sidecar *programs.Sidecar
}

func newSidecar(p *Process, s *programs.Sidecar) *Sidecar {
	return &Sidecar{p, s.Address, s.Admin, s}
}

// URL is where the status page is.
func (s *Sidecar) URL() string { return s.sidecar.URL() }

// Get returns what the admin server answers, with whatever status.
func (s *Sidecar) Get(path string) string {
	s.t.Helper()
	text, err := s.sidecar.Get(s.t.Context(), path)
	check(s.t, err)
	return text
}

// Stats returns the statistics.
func (s *Sidecar) Stats() programs.Stats {
	s.t.Helper()
	stats, err := s.sidecar.Stats(s.t.Context())
	check(s.t, err)
	return stats
}

// Metric returns the value of a series of /metrics.
func (s *Sidecar) Metric(series string) string {
	s.t.Helper()
	value, err := s.sidecar.Metric(s.t.Context(), series)
	check(s.t, err)
	return value
}

// Await asks for the statistics until they are as expected.
func (s *Sidecar) Await(what string, ok func(programs.Stats) bool) programs.Stats {
	s.t.Helper()
	stats := s.Stats()
	for limit := time.Now().Add(programs.Patience); !ok(stats); stats = s.Stats() {
		if time.Now().After(limit) {
			s.t.Fatalf("waited in vain for %s: %+v", what, stats)
		}
		runtime.Gosched()
	}
	return stats
}

// AwaitIdle waits for the end of all sessions.
func (s *Sidecar) AwaitIdle() programs.Stats {
	s.t.Helper()
	return s.Await("the end of the sessions", func(st programs.Stats) bool { return st.Connections.Open == 0 })
}
