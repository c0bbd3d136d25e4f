package telemetry

import (
	"runtime"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

//go:generate go test -run ^TestMetricsPage -update .

// namespace begins the name of every metric of the sidecar's own.
const namespace = "foo_sidecar"

// kind is the type of a metric, as Prometheus names it.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// metric defines one metric. docs/metrics.md is generated from all of them.
type metric struct {
	name    string // without the namespace
	kind    kind
	help    string
	labels  []string
	collect func(s *Snapshot, e emitter)
}

// metrics are all metrics of the sidecar's own. Series with a count of zero are
// always there, so that rate() sees the first event as well.
//
// They show the counts of this process only, although the statistics go on from
// a checkpoint: a restored total that is a little below the last one that was
// scraped would be taken for a restart from zero.
var metrics = []metric{
	{"messages_total", counter, "Well-formed messages of both sides.",
		[]string{"listener", "type"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Requests, "req")
			e.count(t.Counts.Positives, "ack")
			e.count(t.Counts.Negatives, "nak")
		})},
	{"unexpected_messages_total", counter, "Well-formed messages from the side that should not send such: answers of a client, requests of an upstream.",
		[]string{"listener", "side"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.ClientAnswers, proxy.Client.String())
			e.count(t.Counts.ServerRequests, proxy.Upstream.String())
		})},
	{"malformed_total", counter, "Messages that could not be decoded.",
		[]string{"listener", "side", "reason"}, eachListener(func(t *Traffic, e emitter) {
			for side := range proxy.NumSides {
				for f := range protocol.NumFaults {
					e.count(t.Counts.Malformed[side][f], side.String(), f.String())
				}
			}
		})},
	{"received_bytes_total", counter, "Bytes received from that side.",
		[]string{"listener", "side"}, eachListener(func(t *Traffic, e emitter) {
			for side := range proxy.NumSides {
				e.count(t.Counts.Bytes[side], side.String())
			}
		})},
	{"pairs_total", counter, "Requests that the upstream answered.",
		[]string{"listener", "outcome"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Acked, "ack")
			e.count(t.Counts.Naked, "nak")
		})},
	{"request_duration_seconds", histogram, "Time from the end of a request to the end of its answer.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.histogram(&t.Latency)
		})},
	{"in_flight_requests", gauge, "Requests that wait for an answer.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.InFlight())
		})},
	{"request_rate", gauge, "Requests of clients per second over a moving window.",
		[]string{"listener", "window"}, eachListener(func(t *Traffic, e emitter) {
			e.value(t.Rates.Requests1s, "1s")
			e.value(t.Rates.Requests10s, "10s")
		})},
	{"response_rate", gauge, "Answers of upstreams per second over a moving window.",
		[]string{"listener", "window"}, eachListener(func(t *Traffic, e emitter) {
			e.value(t.Rates.Answers1s, "1s")
			e.value(t.Rates.Answers10s, "10s")
		})},
	{"local_naks_total", counter, "Negative answers that the sidecar itself sent.",
		[]string{"listener", "reason"}, eachListener(func(t *Traffic, e emitter) {
			for r := range proxy.NumRefusals {
				e.count(t.Counts.Refused[r], r.String())
			}
		})},
	{"unanswered_total", counter, "Requests that ended without any answer.",
		[]string{"listener", "reason"}, eachListener(func(t *Traffic, e emitter) {
			for u := range proxy.NumUnanswered {
				if u != proxy.UnansweredRestart { // of the process before
					e.count(t.Counts.Unanswered[u], u.String())
				}
			}
		})},
	{"unmatched_answers_total", counter, "Answers of upstreams to no request that was outstanding.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Unmatched)
		})},
	{"connections", gauge, "Connections of clients that are open.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Sessions())
		})},
	{"connections_opened_total", counter, "Connections of clients that were accepted to be served.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Opened)
		})},
	{"connections_closed_total", counter, "Connections of clients that ended.",
		[]string{"listener", "reason"}, eachListener(func(t *Traffic, e emitter) {
			for r := proxy.ClosedByClient; r < proxy.NumCloseReasons; r++ {
				if r != proxy.ClosedRestart { // of the process before
					e.count(t.Counts.Closed[r], r.String())
				}
			}
		})},
	{"connections_rejected_total", counter, "Connections of clients that were turned away at the limit.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Rejected)
		})},
	{"accept_errors_total", counter, "Failures to accept a connection.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.AcceptErrors)
		})},
	{"upstream_connections_lost_total", counter, "Connections to an upstream that broke, or ended before their client had all its answers.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Lost)
		})},
	{"upstream_connections", gauge, "Connections to the upstream that are open.",
		[]string{"upstream"}, func(s *Snapshot, e emitter) {
			for _, u := range s.Upstreams {
				e.count(u.Open, u.Name)
			}
		}},
	{"upstream_dials_total", counter, "Attempts to connect to an endpoint of the upstream.",
		[]string{"upstream", "endpoint", "result"}, func(s *Snapshot, e emitter) {
			for _, u := range s.Upstreams {
				for _, endpoint := range u.Endpoints {
					e.count(endpoint.Dialed, u.Name, endpoint.Address, "success")
					e.count(endpoint.Failed, u.Name, endpoint.Address, "failure")
				}
			}
		}},
	{"config_generation", gauge, "Number of the configuration that runs; the first one has 1.",
		nil, func(s *Snapshot, e emitter) { e.count(s.Config.Generation) }},
	{"config_last_reload_successful", gauge, "Whether the last configuration that was loaded runs: 1 if so, 0 if it was refused.",
		nil, func(s *Snapshot, e emitter) { e.flag(s.Config.LastError == "") }},
	{"config_last_reload_success_timestamp_seconds", gauge, "When the configuration that runs was put in force.",
		nil, func(s *Snapshot, e emitter) { e.time(s.Config.LoadedAt) }},
	{"config_reloads_total", counter, "Reloads of the configuration.",
		[]string{"result"}, func(s *Snapshot, e emitter) {
			e.count(s.Config.Reloads, "success")
			e.count(s.Config.Failures, "failure")
		}},
	{"checkpoint_writes_total", counter, "Attempts to write a checkpoint.",
		[]string{"result"}, func(s *Snapshot, e emitter) {
			e.count(s.Checkpoint.Writes, "success")
			e.count(s.Checkpoint.Failures, "failure")
		}},
	{"checkpoint_last_success_timestamp_seconds", gauge, "When the last checkpoint was written; absent before the first.",
		nil, func(s *Snapshot, e emitter) { e.time(s.Checkpoint.LastSuccess) }},
	{"checkpoint_bytes", gauge, "Size of the last checkpoint that was written.",
		nil, func(s *Snapshot, e emitter) { e.count(s.Checkpoint.Bytes) }},
	{"build_info", gauge, "Always 1; the labels tell what is running.",
		[]string{"version", "goversion"}, func(s *Snapshot, e emitter) {
			e.count(1, s.Version, runtime.Version())
		}},
}

// eachListener collects a metric whose first label is the listener.
func eachListener(collect func(t *Traffic, e emitter)) func(*Snapshot, emitter) {
	return func(s *Snapshot, e emitter) {
		for i := range s.Listeners {
			e.listener = []string{s.Listeners[i].Name}
			collect(&s.Listeners[i], e)
		}
	}
}

// flag emits a truth value.
func (e emitter) flag(b bool) {
	if b {
		e.value(1)
	} else {
		e.value(0)
	}
}

// count emits a number of things.
func (e emitter) count(n int64, labels ...string) { e.value(float64(n), labels...) }

// time emits a moment, unless it has not come yet.
func (e emitter) time(t time.Time) {
	if !t.IsZero() {
		e.value(float64(t.UnixMilli()) / 1000)
	}
}
