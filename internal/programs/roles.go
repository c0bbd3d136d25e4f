package programs

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
)

// Server is a Foo server that runs.
type Server struct {
	*Process
	Address string
}

// Served is the part of what a server counts that is of interest.
type Served struct {
	Connections, Requests, ACKs, NAKs, Undecodable int64
}

// Finish ends the server and returns what it counted.
func (s *Server) Finish() (served Served, err error) {
	if err := s.Signal(syscall.SIGTERM); err != nil {
		return served, err
	}
	if code := s.Wait(); code != 0 {
		return served, fmt.Errorf("%s ended with exit code %d:\n%s", s, code, s.Stderr)
	}
	err = s.report(&served)
	return served, err
}

// Client is a client that sends requests.
type Client struct{ *Process }

// Report is the part of what a client counts that is of interest.
type Report struct {
	Complete                                        bool
	Sent, ACKs, NAKs, Wrong, Unanswered, Unexpected int64
	NAKsByText                                      map[string]int64 `json:"nak_by_text"`
	Throughput                                      float64
	Bytes                                           struct{ Sent, Received int64 }
	Connections                                     struct{ Opened, Failed, Lost int64 }
	Latency                                         struct{ P99 float64 } `json:"latency_seconds"`
}

// Report waits for the end of the client and returns what it counted.
func (c *Client) Report() (report Report, err error) {
	err = c.report(&report)
	return report, err
}

// Sidecar is a sidecar that runs.
type Sidecar struct {
	*Process
	Address string // of its listener
	Admin   string
}

// Stats is the part of a sidecar's statistics that is of interest.
type Stats struct {
	MsgTotal     int64   `json:"msg_total"`
	MsgReq       int64   `json:"msg_req"`
	MsgAck       int64   `json:"msg_ack"`
	MsgNak       int64   `json:"msg_nak"`
	Rate10s      float64 `json:"request_rate_10s"`
	NakLocal     int64   `json:"nak_local"`
	InFlight     int64   `json:"in_flight"`
	Acked        int64   `json:"acked"`
	Naked        int64   `json:"naked"`
	Unanswered   int64   `json:"unanswered"`
	Unmatched    int64   `json:"unmatched_answers"`
	Malformed    int64   `json:"malformed"`
	AcceptErrors int64   `json:"accept_errors"`
	Bytes        struct{ Client, Upstream int64 }
	Connections  struct{ Open, Opened, Rejected, Closed int64 }
	Latency      struct{ Count int64 } `json:"latency_seconds"`
	Checkpoint   struct {
		Working  bool
		Failures int64
	}
	Recovered *struct{ Restarts int64 }
	Spans     Spans
}

// Spans is what a sidecar says of its spans.
type Spans struct {
	Sampled, Exported int64
	Dropped           struct{ Limit, Queue, Export int64 }
}

// Sidecar waits until the process, a sidecar with one listener, serves. If it
// does not, it is killed.
func (p *Process) Sidecar(ctx context.Context) (*Sidecar, error) {
	s := &Sidecar{Process: p}
	_, err := p.Stderr.Line(ctx, `"sidecar started"`)
	if err == nil {
		s.Address, err = p.Stderr.Logged(ctx, "address", `"msg":"listening"`)
	}
	if err == nil {
		s.Admin, err = p.Stderr.Logged(ctx, "address", `"admin server listening"`)
	}
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("start a sidecar: %w", err)
	}
	return s, nil
}

// URL is where the status page is.
func (s *Sidecar) URL() string { return "http://" + s.Admin + "/" }

// Get returns what the admin server answers, with whatever status.
func (s *Sidecar) Get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Admin+path, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", request.URL, err)
	}
	return string(body), nil
}

// Stats returns the statistics.
func (s *Sidecar) Stats(ctx context.Context) (stats Stats, err error) {
	text, err := s.Get(ctx, "/stats")
	if err == nil {
		err = json.Unmarshal([]byte(text), &stats)
	}
	return stats, err
}

// Metric returns the value of a series of /metrics.
func (s *Sidecar) Metric(ctx context.Context, series string) (string, error) {
	text, err := s.Get(ctx, "/metrics")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("there is no metric %s", series)
}
