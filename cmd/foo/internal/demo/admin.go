package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/load"
)

// stats are the sidecar's statistics, as far as they are shown.
type stats struct {
	Requests     int64   `json:"msg_req"`
	ACKs         int64   `json:"msg_ack"`
	NAKs         int64   `json:"msg_nak"`
	LocalNAKs    int64   `json:"nak_local"`
	RequestRate  float64 `json:"request_rate_1s"`
	ResponseRate float64 `json:"response_rate_1s"`
	InFlight     int64   `json:"in_flight"`
	Latency      struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_seconds"`
}

// since returns what was counted after before was read.
func (s stats) since(before stats) stats {
	s.Requests -= before.Requests
	s.ACKs -= before.ACKs
	s.NAKs -= before.NAKs
	s.LocalNAKs -= before.LocalNAKs
	return s
}

// agrees reports whether a client counted the same.
func (s stats) agrees(client *load.Result) bool {
	return s.Requests == client.Sent && s.ACKs == client.ACKs && s.NAKs+s.LocalNAKs == client.NAKs
}

// line returns the statistics as one line, short enough for a narrow terminal.
func (s stats) line() string {
	return fmt.Sprintf("%.0f req/s, %.0f answers/s | %d REQ, %d ACK, %d NAK, %d in flight | p99 %s",
		s.RequestRate, s.ResponseRate, s.Requests, s.ACKs, s.NAKs+s.LocalNAKs, s.InFlight,
		time.Duration(s.Latency.P99*float64(time.Second)).Round(100*time.Microsecond))
}

// admin asks the sidecar's admin server.
type admin struct {
	base   string
	client *http.Client
}

// newAdmin returns a client for the admin server that listens on address.
func newAdmin(address string) *admin {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		address = net.JoinHostPort(host, port)
	}
	return &admin{
		base:   "http://" + address,
		client: &http.Client{Timeout: 2 * time.Second, Transport: new(http.Transport)}, // no proxy
	}
}

func (a *admin) close() { a.client.CloseIdleConnections() }

// get reads a document, which is JSON, into v if that is not nil.
func (a *admin) get(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", path, resp.Status)
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// awaitReady waits until the sidecar is ready and returns its statistics, which
// are not zero if it goes on from a checkpoint.
func (a *admin) awaitReady(ctx context.Context) (stats, error) {
	timeout := time.After(readyTimeout)
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for {
		var s stats
		err := a.get(ctx, "/status", nil)
		if err == nil {
			err = a.get(ctx, "/stats", &s)
		}
		if err == nil {
			return s, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return stats{}, ctx.Err()
		case <-timeout:
			return stats{}, fmt.Errorf("the sidecar is not ready after %v: %w", readyTimeout, err)
		}
	}
}

// show shows the statistics each second as they change, until ctx ends, and
// returns those shown last.
func (a *admin) show(ctx context.Context, screen *screen) (last stats) {
	tick := time.NewTicker(showPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last
		}
		var s stats
		if err := a.get(ctx, "/stats", &s); err != nil {
			if ctx.Err() == nil {
				screen.status("no statistics: " + err.Error())
			}
			continue
		}
		last = s
		screen.status(s.line())
	}
}

// settled reads the statistics once the client has ended. The sidecar may take
// a moment to count what the client already has.
func (a *admin) settled(before stats, client *load.Result, last stats) stats {
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for {
		var s stats
		if err := a.get(ctx, "/stats", &s); err == nil {
			last = s
		}
		if last.since(before).agrees(client) {
			return last
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last
		}
	}
}
