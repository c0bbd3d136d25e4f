package telemetry

import (
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

// metric defines one metric. docs/metrics.md is generated from all of them, and
// dashboards and alert rules are checked against them.
type metric struct {
	name    string // without the namespace
	kind    kind
	unit    string
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
	{"messages_total", counter, "messages", "Well-formed messages of both sides.",
		[]string{"listener", "type"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Requests, "req")
			e.count(t.Counts.Positives, "ack")
			e.count(t.Counts.Negatives, "nak")
		})},
	{"unexpected_messages_total", counter, "messages", "Well-formed messages from the side that should not send such: answers of a client, requests of an upstream.",
		[]string{"listener", "side"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.ClientAnswers, proxy.Client.String())
			e.count(t.Counts.ServerRequests, proxy.Upstream.String())
		})},
	{"malformed_total", counter, "messages", "Messages that could not be decoded.",
		[]string{"listener", "side", "reason"}, eachListener(func(t *Traffic, e emitter) {
			for side := range proxy.NumSides {
				for f := range protocol.NumFaults {
					e.count(t.Counts.Malformed[side][f], side.String(), f.String())
				}
			}
		})},
	{"nonconforming_messages_total", counter, "messages", "Well-formed messages that are not as the protocol wants them; one may have several reasons.",
		[]string{"listener", "side", "reason"}, eachListener(func(t *Traffic, e emitter) {
			for side := range proxy.NumSides {
				for q := range protocol.NumQuirks {
					e.count(t.Counts.Quirks[side][q], side.String(), q.String())
				}
			}
			e.count(t.Counts.DuplicateSeqs, proxy.Client.String(), proxy.ViolatedDuplicate.String())
			e.count(t.Counts.NonAscending, proxy.Client.String(), proxy.ViolatedOrder.String())
		})},
	{"received_bytes_total", counter, "bytes", "Bytes received from that side.",
		[]string{"listener", "side"}, eachListener(func(t *Traffic, e emitter) {
			for side := range proxy.NumSides {
				e.count(t.Counts.Bytes[side], side.String())
			}
		})},
	{"pairs_total", counter, "pairs", "Requests that the upstream answered.",
		[]string{"listener", "outcome"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Acked, "ack")
			e.exemplar(t.Exemplars.Nak).count(t.Counts.Naked, "nak")
		})},
	{"request_duration_seconds", histogram, "seconds", "Time from the end of a request to the end of its answer.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.histogram(&t.Latency, &t.Exemplars)
		})},
	{"in_flight_requests", gauge, "requests", "Requests that wait for an answer.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.InFlight())
		})},
	{"oldest_request_seconds", gauge, "seconds", "How long the oldest request in flight has been waiting; 0 if there is none.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.value(t.OldestRequest.Seconds())
		})},
	{"request_rate", gauge, "requests/s", "Requests of clients per second over a moving window.",
		[]string{"listener", "window"}, eachListener(func(t *Traffic, e emitter) {
			e.value(t.Rates.Requests1s, "1s")
			e.value(t.Rates.Requests10s, "10s")
		})},
	{"response_rate", gauge, "answers/s", "Answers of upstreams per second over a moving window.",
		[]string{"listener", "window"}, eachListener(func(t *Traffic, e emitter) {
			e.value(t.Rates.Answers1s, "1s")
			e.value(t.Rates.Answers10s, "10s")
		})},
	{"window_coverage_ratio", gauge, "ratio", "Share of a moving window in which the sidecar was there to count; the rates are too low by what is missing.",
		[]string{"listener", "window"}, eachListener(func(t *Traffic, e emitter) {
			e.value(t.Rates.Coverage1s, "1s")
			e.value(t.Rates.Coverage10s, "10s")
		})},
	{"local_naks_total", counter, "answers", "Negative answers that the sidecar itself sent.",
		[]string{"listener", "reason"}, eachListener(func(t *Traffic, e emitter) {
			for r := range proxy.NumRefusals {
				e.exemplar(t.Exemplars.Refused[r]).count(t.Counts.Refused[r], r.String())
			}
		})},
	{"unanswered_total", counter, "requests", "Requests that ended without any answer.",
		[]string{"listener", "reason"}, eachListener(func(t *Traffic, e emitter) {
			for u := range proxy.NumUnanswered {
				if u != proxy.UnansweredRestart { // of the process before
					e.count(t.Counts.Unanswered[u], u.String())
				}
			}
		})},
	{"unmatched_answers_total", counter, "answers", "Answers of upstreams to no request that was outstanding.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Unmatched)
		})},
	{"connections", gauge, "connections", "Connections of clients that are open.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Sessions())
		})},
	{"connections_opened_total", counter, "connections", "Connections of clients that were accepted to be served.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Opened)
		})},
	{"connections_closed_total", counter, "connections", "Connections of clients that ended.",
		[]string{"listener", "reason"}, eachListener(func(t *Traffic, e emitter) {
			for r := proxy.ClosedByClient; r < proxy.NumCloseReasons; r++ {
				if r != proxy.ClosedRestart { // of the process before
					e.count(t.Counts.Closed[r], r.String())
				}
			}
		})},
	{"connections_rejected_total", counter, "connections", "Connections of clients that were turned away at the limit.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Rejected)
		})},
	{"accept_errors_total", counter, "errors", "Failures to accept a connection.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.AcceptErrors)
		})},
	{"upstream_queue", gauge, "connections", "Connections of clients that wait for an upstream connection.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Waiting())
		})},
	{"upstream_connections_lost_total", counter, "connections", "Connections to an upstream that broke, or ended before their client had all its answers.",
		[]string{"listener"}, eachListener(func(t *Traffic, e emitter) {
			e.count(t.Counts.Lost)
		})},
	{"upstream_connections", gauge, "connections", "Connections to the upstream that are open.",
		[]string{"upstream"}, func(s *Snapshot, e emitter) {
			for _, u := range s.Upstreams {
				e.count(u.Open, u.Name)
			}
		}},
	{"upstream_dials_total", counter, "attempts", "Attempts to connect to an endpoint of the upstream.",
		[]string{"upstream", "address", "result"}, func(s *Snapshot, e emitter) {
			for _, u := range s.Upstreams {
				for _, endpoint := range u.Endpoints {
					e.count(endpoint.Dialed, u.Name, endpoint.Address, "success")
					e.count(endpoint.Failed, u.Name, endpoint.Address, "failure")
				}
			}
		}},
	{"config_generation", gauge, "number", "Number of the configuration that runs; the first one has 1.",
		nil, func(s *Snapshot, e emitter) { e.count(s.Config.Generation) }},
	{"config_last_reload_successful", gauge, "boolean", "Whether the last configuration that was loaded runs: 1 if so, 0 if it was refused.",
		nil, func(s *Snapshot, e emitter) { e.flag(s.Config.LastError == "") }},
	{"config_last_reload_success_timestamp_seconds", gauge, "timestamp", "When the configuration that runs was put in force.",
		nil, func(s *Snapshot, e emitter) { e.time(s.Config.LoadedAt) }},
	{"config_reloads_total", counter, "attempts", "Reloads of the configuration.",
		[]string{"result"}, func(s *Snapshot, e emitter) {
			e.count(s.Config.Reloads, "success")
			e.count(s.Config.Failures, "failure")
		}},
	{"checkpoint_writes_total", counter, "attempts", "Attempts to write a checkpoint.",
		[]string{"result"}, func(s *Snapshot, e emitter) {
			e.count(s.Checkpoint.Writes, "success")
			e.count(s.Checkpoint.Failures, "failure")
		}},
	{"checkpoint_last_success_timestamp_seconds", gauge, "timestamp", "When the last checkpoint was written; absent before the first.",
		nil, func(s *Snapshot, e emitter) { e.time(s.Checkpoint.LastSuccess) }},
	{"checkpoint_bytes", gauge, "bytes", "Size of the last checkpoint that was written.",
		nil, func(s *Snapshot, e emitter) { e.count(s.Checkpoint.Bytes) }},
	{"spans_total", counter, "spans", "Pairs that were chosen to become a span, and spans that were exported.",
		[]string{"result"}, func(s *Snapshot, e emitter) {
			e.count(s.Spans.Sampled, "sampled")
			e.count(s.Spans.Exported, "exported")
		}},
	{"spans_dropped_total", counter, "spans", "Pairs and spans that were left out.",
		[]string{"reason"}, func(s *Snapshot, e emitter) {
			e.count(s.Spans.Dropped.Limit, "limit")
			e.count(s.Spans.Dropped.Queue, "queue")
			e.count(s.Spans.Dropped.Export, "export")
		}},
	{"log_lines_total", counter, "lines", "Lines that were logged.",
		[]string{"level"}, func(s *Snapshot, e emitter) {
			e.count(s.LogLines.Debug, "debug")
			e.count(s.LogLines.Info, "info")
			e.count(s.LogLines.Error, "error")
		}},
	{"build_info", gauge, "info", "Always 1; the labels tell what is running.",
		[]string{"version", "goversion"}, func(s *Snapshot, e emitter) {
			e.count(1, s.Version, runtime.Version())
		}},
}

// MetricInfo describes a metric, for those who make or check what uses it.
type MetricInfo struct {
	// Name is the full name, without the suffixes of a histogram's series.
	Name string
	// Type is counter, gauge or histogram.
	Type string
	// Unit is what the value is a number of: seconds, bytes, messages and so on;
	// or timestamp (seconds since 1970), ratio (0 to 1), boolean, number or info.
	Unit string
	Help string
	// Labels are the names of the labels, in the order of the definition.
	Labels []string
}

// Metrics returns all metrics of the sidecar's own.
func Metrics() []MetricInfo {
	infos := make([]MetricInfo, 0, len(metrics))
	for _, m := range metrics {
		infos = append(infos, MetricInfo{
			Name: m.fullName(), Type: string(m.kind), Unit: m.unit, Help: m.help, Labels: slices.Clone(m.labels),
		})
	}
	return infos
}

// fullName returns the name with the namespace.
func (m *metric) fullName() string { return prometheus.BuildFQName(namespace, "", m.name) }

// eachListener collects a metric whose first label is the listener.
func eachListener(collect func(t *Traffic, e emitter)) func(*Snapshot, emitter) {
	return func(s *Snapshot, e emitter) {
		e.began = s.Time.Add(-s.Uptime)
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
