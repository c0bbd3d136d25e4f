package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/upstream"
)

// Stats is the statistics document: what /stats answers and SIGUSR2 prints. The
// order of the fields is part of it. The comments of the fields are also what
// docs/metrics.md says of them.
type Stats struct {
	TrafficStats
	// The same numbers for each listener of the configuration, by name.
	Listeners []ListenerStats `json:"listeners"`
	// The upstreams of the configuration, as seen by this process.
	Upstreams []UpstreamStats `json:"upstreams"`
	// When the statistics were taken.
	Time time.Time `json:"time"`
	// How long the process has been running.
	UptimeSeconds float64 `json:"uptime_seconds"`
	// The sidecar's version.
	Version string `json:"version"`
	// The configuration that runs.
	Config ConfigState `json:"config"`
	// The saving of checkpoints.
	Checkpoint CheckpointState `json:"checkpoint"`
	// What the process started from; absent if it started from nothing.
	Recovered *Recovered `json:"recovered,omitempty"`
	// The tracing of pairs, by this process.
	Spans SpanStats `json:"spans"`
	// Lines that this process logged.
	LogLines LogLines `json:"log_lines"`
}

// ListenerStats are the statistics of one listener.
type ListenerStats struct {
	// The listener's name in the configuration.
	Name string `json:"name"`
	TrafficStats
}

// TrafficStats are the numbers that exist for one listener and for all. The
// first eight have the names that they always had.
type TrafficStats struct {
	// Well-formed messages of both sides: the sum of the next three.
	Total int64 `json:"msg_total"`
	// REQ messages.
	Requests int64 `json:"msg_req"`
	// ACK messages.
	Acks int64 `json:"msg_ack"`
	// NAK messages. What a client counts as NAK is `msg_nak` and `nak_local` together.
	Naks int64 `json:"msg_nak"`
	// Requests of clients per second, over the last second.
	RequestRate1s float64 `json:"request_rate_1s"`
	// Requests of clients per second, over the last ten seconds: three requests are 0.3.
	RequestRate10s float64 `json:"request_rate_10s"`
	// Answers of upstreams per second, over the last second.
	ResponseRate1s float64 `json:"response_rate_1s"`
	// Answers of upstreams per second, over the last ten seconds.
	ResponseRate10s float64 `json:"response_rate_10s"`

	// The part of the last second, from 0 to 1, in which the sidecar was there to count. The rates are too low by what is missing.
	WindowCoverage1s float64 `json:"window_coverage_1s"`
	// The part of the last ten seconds, likewise.
	WindowCoverage10s float64 `json:"window_coverage_10s"`
	// NAK messages that the sidecar itself sent. They are not part of `msg_nak`.
	LocalNaks int64 `json:"nak_local"`
	// The same by reason.
	LocalNaksByReason map[string]int64 `json:"nak_local_by_reason"`
	// Requests that wait for an answer now.
	InFlight int64 `json:"in_flight"`
	// How long the oldest of them has been waiting; zero if there is none.
	OldestRequestSeconds float64 `json:"oldest_request_seconds"`
	// Requests that were answered ACK.
	Acked int64 `json:"acked"`
	// Requests that were answered NAK by the upstream.
	Naked int64 `json:"naked"`
	// Requests that ended without any answer.
	Unanswered int64 `json:"unanswered"`
	// The same by reason.
	UnansweredByReason map[string]int64 `json:"unanswered_by_reason"`
	// Answers of upstreams to no request that was outstanding.
	UnmatchedAnswers int64 `json:"unmatched_answers"`
	// Well-formed messages from the side that should not send such. They take part in no pair.
	Unexpected UnexpectedStats `json:"unexpected"`
	// Messages that could not be decoded.
	Malformed int64 `json:"malformed"`
	// The same by the side that sent them and by reason.
	MalformedByReason MalformedStats `json:"malformed_by_reason"`
	// Well-formed messages that are not as the protocol wants them, by the side that sent them and by reason. They are passed on and counted like any other; one message may have several reasons.
	Nonconforming NonconformingStats `json:"nonconforming"`
	// Bytes received.
	Bytes BytesStats `json:"bytes"`
	// Connections of clients.
	Connections ConnectionStats `json:"connections"`
	// Those of them that wait for an upstream connection now.
	Queue int64 `json:"queue"`
	// Failures to accept a connection.
	AcceptErrors int64 `json:"accept_errors"`
	// Connections to upstreams.
	UpstreamConnections UpstreamConnectionStats `json:"upstream_connections"`
	// Time from the end of a request to the end of its answer, for the pairs of this process.
	Latency LatencyStats `json:"latency_seconds"`
}

// UnexpectedStats are the well-formed messages from the wrong side.
type UnexpectedStats struct {
	// Requests that upstreams sent.
	ServerRequests int64 `json:"server_requests"`
	// Answers that clients sent.
	ClientAnswers int64 `json:"client_answers"`
}

// MalformedStats are the messages that could not be decoded, by reason.
type MalformedStats struct {
	// Sent by clients.
	Client map[string]int64 `json:"client"`
	// Sent by upstreams.
	Upstream map[string]int64 `json:"upstream"`
}

// NonconformingStats are the well-formed messages that are not as the protocol
// wants them, by reason.
type NonconformingStats struct {
	// Sent by clients.
	Client map[string]int64 `json:"client"`
	// Sent by upstreams.
	Upstream map[string]int64 `json:"upstream"`
}

// BytesStats are the bytes that were received.
type BytesStats struct {
	// From clients.
	Client int64 `json:"client"`
	// From upstreams.
	Upstream int64 `json:"upstream"`
}

// ConnectionStats are the connections of clients.
type ConnectionStats struct {
	// Open now.
	Open int64 `json:"open"`
	// Accepted to be served.
	Opened int64 `json:"opened"`
	// Turned away at the limit; not part of `opened`.
	Rejected int64 `json:"rejected"`
	// Ended.
	Closed int64 `json:"closed"`
	// The same by reason.
	ClosedByReason map[string]int64 `json:"closed_by_reason"`
}

// UpstreamConnectionStats are the connections to upstreams.
type UpstreamConnectionStats struct {
	// Attempts to connect that succeeded.
	Dialed int64 `json:"dialed"`
	// Attempts to connect that failed.
	Failed int64 `json:"failed"`
	// Connections that broke, or ended before their client had all its answers.
	Lost int64 `json:"lost"`
}

// LatencyStats summarise a histogram, in seconds.
type LatencyStats struct {
	// Pairs that were timed.
	Count int64 `json:"count"`
	// Sum of their times.
	Sum float64 `json:"sum"`
	// Median; all percentiles are exact to 1.6 %.
	P50 float64 `json:"p50"`
	// 90th percentile.
	P90 float64 `json:"p90"`
	// 99th percentile.
	P99 float64 `json:"p99"`
	// 99.9th percentile.
	P999 float64 `json:"p999"`
	// The longest, exact.
	Max float64 `json:"max"`
}

// UpstreamStats are the statistics of one upstream.
type UpstreamStats struct {
	// The upstream's name in the configuration.
	Name string `json:"name"`
	// Whether the last attempt to connect succeeded at one endpoint at least; true before the first.
	Reachable bool `json:"reachable"`
	// Connections that are open now.
	Open int64 `json:"open"`
	// The upstream's addresses, in the order of the configuration.
	Endpoints []EndpointStats `json:"endpoints"`
}

// EndpointStats are the statistics of one address of an upstream.
type EndpointStats struct {
	// The address as configured.
	Address string `json:"address"`
	// Attempts to connect that succeeded.
	Dialed int64 `json:"dialed"`
	// Attempts to connect that failed.
	Failed int64 `json:"failed"`
	// Why the last attempt failed; absent if it succeeded.
	LastError string `json:"last_error,omitempty"`
	// When an attempt failed last; absent if none did.
	LastFailure time.Time `json:"last_failure,omitzero"`
}

// Stats returns the statistics document.
func (s Snapshot) Stats() Stats {
	stats := Stats{
		TrafficStats: s.All.stats(),
		// Empty lists, so that they are not null in JSON.
		Listeners:     make([]ListenerStats, 0, len(s.Listeners)),
		Upstreams:     make([]UpstreamStats, 0, len(s.Upstreams)),
		Time:          s.Time,
		UptimeSeconds: s.Uptime.Seconds(),
		Version:       s.Version,
		Config:        s.Config,
		Checkpoint:    s.Checkpoint,
		Spans:         s.Spans,
		LogLines:      s.LogLines,
	}
	for i := range s.Listeners {
		t := &s.Listeners[i]
		stats.Listeners = append(stats.Listeners, ListenerStats{Name: t.Name, TrafficStats: t.stats()})
	}
	for _, u := range s.Upstreams {
		stats.Upstreams = append(stats.Upstreams, upstreamStats(u))
	}
	if s.Recovered != nil {
		r := *s.Recovered
		r.AgeSeconds, r.WindowCoverage = finite(r.AgeSeconds), finite(r.WindowCoverage)
		stats.Recovered = &r
	}
	return stats
}

// MarshalLine returns the document as one line of JSON that ends in a newline.
func (s Stats) MarshalLine() ([]byte, error) {
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return nil, fmt.Errorf("encode statistics: %w", err)
	}
	return line.Bytes(), nil
}

func (t *Traffic) stats() TrafficStats {
	c := t.Total()
	s := TrafficStats{
		Total:    c.Requests + c.Positives + c.Negatives,
		Requests: c.Requests, Acks: c.Positives, Naks: c.Negatives,
		RequestRate1s: t.Rates.Requests1s, RequestRate10s: t.Rates.Requests10s,
		ResponseRate1s: t.Rates.Answers1s, ResponseRate10s: t.Rates.Answers10s,

		WindowCoverage1s: t.Rates.Coverage1s, WindowCoverage10s: t.Rates.Coverage10s,
		InFlight: c.InFlight(), OldestRequestSeconds: t.OldestRequest.Seconds(),
		Acked: c.Acked, Naked: c.Naked,
		UnmatchedAnswers:    c.Unmatched,
		Unexpected:          UnexpectedStats{ServerRequests: c.ServerRequests, ClientAnswers: c.ClientAnswers},
		Bytes:               BytesStats{Client: c.Bytes[proxy.Client], Upstream: c.Bytes[proxy.Upstream]},
		Connections:         ConnectionStats{Open: c.Sessions(), Opened: c.Opened, Rejected: c.Rejected},
		Queue:               c.Waiting(),
		AcceptErrors:        c.AcceptErrors,
		UpstreamConnections: UpstreamConnectionStats{Dialed: c.Dialed, Failed: c.DialFailures, Lost: c.Lost},
		Latency:             t.Latency.stats(),
	}
	s.LocalNaksByReason, s.LocalNaks = byReason[proxy.Refusal](c.Refused[:], 0)
	s.UnansweredByReason, s.Unanswered = byReason[proxy.Unanswered](c.Unanswered[:], 0)
	s.Connections.ClosedByReason, s.Connections.Closed = byReason(c.Closed[:], proxy.ClosedByClient)
	var client, upstream int64
	s.MalformedByReason.Client, client = byReason[protocol.Fault](c.Malformed[proxy.Client][:], 0)
	s.MalformedByReason.Upstream, upstream = byReason[protocol.Fault](c.Malformed[proxy.Upstream][:], 0)
	s.Malformed = client + upstream
	s.Nonconforming = nonconforming(&c)
	return s
}

func nonconforming(c *proxy.Counts) (s NonconformingStats) {
	s.Client, _ = byReason[protocol.Quirk](c.Quirks[proxy.Client][:], 0)
	s.Client[proxy.ViolatedDuplicate.String()] = c.DuplicateSeqs
	s.Client[proxy.ViolatedOrder.String()] = c.NonAscending
	s.Upstream, _ = byReason[protocol.Quirk](c.Quirks[proxy.Upstream][:], 0)
	return s
}

// byReason returns counts by the names of their indexes from first on, and
// their sum. Names with a count of zero are there as well, so that a reader
// need not know them all beforehand.
func byReason[R interface {
	~uint8
	String() string
}](counts []int64, first R) (named map[string]int64, total int64) {
	named = make(map[string]int64, len(counts))
	for i, n := range counts[first:] {
		named[(first + R(i)).String()] = n
		total += n
	}
	return named, total
}

func (h *Histogram) stats() LatencyStats {
	return LatencyStats{
		Count: h.Count(),
		Sum:   h.seconds(),
		P50:   h.Quantile(0.5).Seconds(),
		P90:   h.Quantile(0.9).Seconds(),
		P99:   h.Quantile(0.99).Seconds(),
		P999:  h.Quantile(0.999).Seconds(),
		Max:   h.Max().Seconds(),
	}
}

func upstreamStats(u upstream.Stats) UpstreamStats {
	s := UpstreamStats{
		Name: u.Name, Reachable: u.Reachable(), Open: u.Open,
		Endpoints: make([]EndpointStats, 0, len(u.Endpoints)),
	}
	for _, e := range u.Endpoints {
		s.Endpoints = append(s.Endpoints, EndpointStats(e))
	}
	return s
}

// finite returns f, or zero if JSON has no way to write f.
func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}
