package dashboards

// Panels of both dashboards. They differ in what the scope tells apart.

// glance is the row of numbers that tells within seconds whether all is well.
func glance(s scope) []Panel {
	all := func(expr string, _ ...string) string { return "sum(" + s.in(expr) + ")" }
	buckets := func(expr string, more ...string) string { return s.aggregate("sum", expr, nil, more...) }
	return []Panel{
		stat("Requests now", "reqps", "Requests of clients per second.", all(`rate(foo_sidecar_messages_total{L,type="req"}[RATE])`)),
		stat("Refused now", "percentunit", "Share of the requests that were answered NAK, by the upstream or by the sidecar, or not answered at all.",
			refusedShare(all), 0.001, 0.01),
		stat("p99 now", "s", "99 of 100 requests that the upstream answered were answered faster.", quantile(0.99, buckets), 0.25, 1),
		stat("In flight now", "short", "Requests that wait for an answer now.", all("foo_sidecar_in_flight_requests{L}")),
		stat("Oldest request now", "s", "How long the oldest request has been waiting for its answer.",
			"max("+s.in("foo_sidecar_oldest_request_seconds{L}")+")", 1, 30),
		stat("Sidecars", "short", "Sidecars that Prometheus sees. Those that can't be scraped are missing here.",
			"count("+s.in("foo_sidecar_build_info{T}")+")"),
	}
}

// requests are rate, errors and duration.
func requests(s scope) []Panel {
	name := legend(s.byL)
	total := func(expr string, more ...string) string { return s.aggregate("sum", expr, nil, more...) }
	return []Panel{
		stacked(graph("Requests", "reqps", "Requests of clients per second.", 8,
			query{s.sum(`rate(foo_sidecar_messages_total{L,type="req"}[RATE])`), name})),
		share(graph("Refused requests", "percentunit",
			"Share of the requests that were answered NAK, by the upstream or by the sidecar, or not answered although the client was still there.",
			8, query{refusedShare(s.sum), name})),
		exemplars(stacked(graph("Why requests fail", "reqps",
			"nak: the upstream refused, which is its business. unavailable, lost, draining: the sidecar answered in its place. "+
				"undecodable, limit: it refused a message or a connection. The others got no answer.", 8,
			query{"sum by (outcome) (" + s.in(`rate(foo_sidecar_pairs_total{L,outcome="nak"}[RATE])`) + ")", "upstream {{outcome}}"},
			query{total("rate(foo_sidecar_local_naks_total{L}[RATE])", "reason"), "sidecar {{reason}}"},
			query{total("rate(foo_sidecar_unanswered_total{L}[RATE])", "reason"), "unanswered {{reason}}"}))),
		exemplars(graph("p99 of the duration", "s",
			"99 of 100 requests that the upstream answered were answered faster. The time runs from the end of the request to the end of its answer, as the sidecar saw them.",
			8, query{quantile(0.99, s.sum), name})),
		exemplars(graph("Percentiles of the duration", "s",
			"All together. A median that stays while the p99 rises means that some requests wait: look at the heat map and at what is saturated.", 8,
			query{quantile(0.5, total), "p50"}, query{quantile(0.9, total), "p90"}, query{quantile(0.99, total), "p99"})),
		heatmap("Distribution of the duration",
			"How many requests took how long. Two bands mean two kinds of requests or of upstreams. "+
				"It needs the classic buckets: with scrape_native_histograms also set always_scrape_classic_histograms.",
			total("increase("+duration+"_bucket{L}[RATE])", "le"), 8),
	}
}

// saturation is what runs short.
func saturation(s scope) []Panel {
	name, nameT := legend(s.byL), legend(s.by)
	return []Panel{
		graph("Requests in flight", "short", "Requests that wait for an answer. It is rate times duration: if it grows while the rate does not, the upstream is slower.", 8,
			query{s.sum("foo_sidecar_in_flight_requests{L}"), name}),
		graph("Oldest request", "s", "How long the oldest request has been waiting. A straight line upwards is a request that the upstream forgot.", 8,
			query{s.max("foo_sidecar_oldest_request_seconds{L}"), name}),
		graph("Clients waiting for an upstream connection", "short", "Connections of clients that are not served yet, because no upstream connection could be opened. Zero when all is well.", 8,
			query{s.sum("foo_sidecar_upstream_queue{L}"), name}),
		graph("Client connections", "short", "Connections of clients that are open.", 8,
			query{s.sum("foo_sidecar_connections{L}"), name}),
		graph("Connections opened and turned away", "ops", "Opened: many for few requests mean clients that do not keep their connections. "+
			"Rejected: maxConnections was reached. Accept errors: most likely no file descriptors are left.", 8,
			query{s.sum("rate(foo_sidecar_connections_opened_total{L}[RATE])"), "opened " + name},
			query{s.sum("rate(foo_sidecar_connections_rejected_total{L}[RATE])"), "rejected " + name},
			query{s.sum("rate(foo_sidecar_accept_errors_total{L}[RATE])"), "accept error " + name}),
		share(graph("File descriptors", "percentunit", "Share of the file descriptors that is in use. A client takes two.", 8,
			query{s.maxT(ofSidecars(s, "process_open_fds{T} / process_max_fds{T}")), orSidecar(nameT)})),
		stacked(graph("Why connections end", "ops", "Connections of clients that ended, by reason. client is the ordinary one.", 12,
			query{s.aggregate("sum", "rate(foo_sidecar_connections_closed_total{L}[RATE])", nil, "reason"), "{{reason}}"})),
		graph("Traffic", "Bps", "Bytes received from clients and from upstreams per second.", 12,
			query{s.aggregate("sum", "rate(foo_sidecar_received_bytes_total{L}[RATE])", nil, "side"), "from {{side}}"}),
	}
}

// upstreams is how the servers are reached.
func upstreams(s scope) []Panel {
	by := legend(s.by, "upstream")
	return []Panel{
		graph("Upstream connections", "short", "Connections to upstreams that are open. Each client that sends has one.", 8,
			query{s.sumT("foo_sidecar_upstream_connections{T}", "upstream"), by}),
		graph("Dials", "ops", "Attempts to connect to each endpoint. Failures next to successes mean that one of several endpoints is down.", 8,
			query{s.sumT("rate(foo_sidecar_upstream_dials_total{T}[RATE])", "upstream", "address", "result"),
				legend(s.by, "upstream", "address", "result")}),
		graph("Lost upstream connections", "ops", "Connections to upstreams that broke, or ended before all answers were there. Their outstanding requests are refused with reason lost.", 8,
			query{s.sum("rate(foo_sidecar_upstream_connections_lost_total{L}[RATE])"), legend(s.byL)}),
	}
}

// conformance is how well clients and upstreams keep to the protocol.
func conformance(s scope) []Panel {
	total := func(expr string, more ...string) string { return s.aggregate("sum", s.in(expr), nil, more...) }
	return []Panel{
		graph("Malformed messages", "ops", "Messages that could not be decoded, by who sent them. /debug/recent of the pod shows the last ones with their bytes.", 8,
			query{total("rate(foo_sidecar_malformed_total{L}[RATE])", "side", "reason"), "{{side}} {{reason}}"}),
		graph("Messages that do not conform", "ops", "Well-formed messages that are not as the protocol wants them. They are passed on.", 8,
			query{total("rate(foo_sidecar_nonconforming_messages_total{L}[RATE])", "side", "reason"), "{{side}} {{reason}}"}),
		graph("Messages out of place", "ops", "Answers of clients, requests of upstreams, and answers to no request that was outstanding.", 8,
			query{total("rate(foo_sidecar_unexpected_messages_total{L}[RATE])", "side"), "from {{side}}"},
			query{total("rate(foo_sidecar_unmatched_answers_total{L}[RATE])"), "unmatched answers"}),
	}
}

// diagnosis is whether the sidecar can tell what it saw.
func diagnosis(s scope) []Panel {
	total := func(expr string, more ...string) string { return s.aggregate("sum", s.in(expr), nil, more...) }
	return []Panel{
		graph("Spans", "ops", "Pairs that were chosen to become a span, and spans that the collector took.", 8,
			query{total("rate(foo_sidecar_spans_total{T}[RATE])", "result"), "{{result}}"}),
		graph("Dropped spans", "ops", "limit: more pairs were worth a span than telemetry.pairs.perSecond allows. queue, export: the collector is too slow or can't be reached. "+
			"Requests are not touched by it.", 8,
			query{total("rate(foo_sidecar_spans_dropped_total{T}[RATE])", "reason"), "{{reason}}"}),
		stacked(graph("Log lines", "ops", "Lines that the sidecars logged, by level.", 8,
			query{total("rate(foo_sidecar_log_lines_total{T}[RATE])", "level"), "{{level}}"})),
	}
}

// runtimePanels is what the processes take.
func runtimePanels(s scope) []Panel {
	name := orSidecar(legend(s.by))
	return []Panel{
		graph("CPU", "short", "Processors in use: 1 is one of them all the time. It grows with the number of messages and hardly with their size.", 8,
			query{s.sumT(ofSidecars(s, "rate(process_cpu_seconds_total{T}[RATE])")), name}),
		graph("Memory", "bytes", "Resident memory. It grows with the number of connections, not with the size of messages.", 8,
			query{s.sumT(ofSidecars(s, "process_resident_memory_bytes{T}")), name}),
		graph("Goroutines", "short", "They grow with the number of connections, and must fall with it.", 8,
			query{s.sumT(ofSidecars(s, "go_goroutines{T}")), name}),
	}
}

// ofSidecars leaves of what every Go program shows that of sidecars: the other
// containers of a pod may have the same metrics with the same labels of the pod.
func ofSidecars(s scope, expr string) string {
	return s.in("(" + expr + ") and on (job, instance) foo_sidecar_build_info{T}")
}

// orSidecar is a name for the one series that has no labels.
func orSidecar(legend string) string {
	if legend == "" {
		return "sidecar"
	}
	return legend
}
