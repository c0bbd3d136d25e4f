package dashboards

// Pod is the dashboard of one sidecar, in detail.
func Pod() Dashboard {
	namespace := choice("namespace", "Where the pod is.", "namespace", "", false)
	namespace.IncludeAll, namespace.AllValue = true, ".*"
	d := dashboard(podUID, "Foo sidecar of one pod",
		"One sidecar in detail, by listener, upstream and endpoint. First what its clients notice, then what runs short, then why.", "now-15m",
		[]Variable{
			namespace,
			choice("pod", "The pod whose sidecar is shown.", "pod", `{namespace=~"$namespace"}`, false),
			choice("listener", "By its name in the configuration.", "listener", "{"+one.target+"}", true),
		},
		[]row{
			{"At a glance", glance(one)},
			{"Requests, errors, duration", requests(one)},
			{"Saturation", saturation(one)},
			{"Upstream endpoints", append(upstreams(one), shareOfDials())},
			{"Moving windows", windows()},
			{"Protocol", append(conformance(one), messages())},
			{"Configuration and checkpoint", podState()},
			{"Tracing and logs", diagnosis(one)},
			{"Process", append(runtimePanels(one), goPanels()...)},
		})
	// The number of sidecars is of no interest where there is one.
	for i := range d.Panels {
		if d.Panels[i].Title == "Sidecars" {
			grid, id := d.Panels[i].GridPos, d.Panels[i].ID
			d.Panels[i] = stat("Up for", "s", "How long the process has been running.",
				"time() - max("+ofSidecars(one, "process_start_time_seconds{T}")+")")
			d.Panels[i].GridPos, d.Panels[i].ID = grid, id
		}
	}
	d.Links = []link{{
		Title: "All sidecars", Type: "link", URL: "/d/" + overviewUID + "?${namespace:queryparam}&${datasource:queryparam}",
		KeepTime: true, Icon: "dashboard",
	}}
	return d
}

// shareOfDials is how well each endpoint can be reached.
func shareOfDials() Panel {
	dials := func(more string) string {
		return one.aggregate("sum", "increase(foo_sidecar_upstream_dials_total{T"+more+"}[$__range])", nil, "upstream", "address")
	}
	return table("Endpoints", "How often each endpoint was dialed in the time that is shown, and with what result.", []column{
		{"Connected", "short", dials(`,result="success"`)},
		{"Failed", "short", dials(`,result="failure"`)},
		{"Failed share", "percentunit", "(" + dials(`,result="failure"`) + ") / ((" + dials("") + ") > 0) or (" + dials("") + ")"},
	})
}

// windows are the rates that the sidecar itself measures.
func windows() []Panel {
	const counted = `sum(rate(foo_sidecar_messages_total{L,type="req"}[RATE])) - sum(rate(foo_sidecar_unexpected_messages_total{L,side="upstream"}[RATE]))`
	return []Panel{
		graph("Requests, last 1 s and 10 s", "reqps", "Requests per second over the true moving windows that the sidecar keeps, next to what Prometheus makes of the counter. "+
			"Between two scrapes the windows move on, so bursts may be in none of them.", 8,
			query{one.aggregate("sum", "foo_sidecar_request_rate{L}", nil, "window"), "last {{window}}"},
			query{one.in(counted), "counter"}),
		graph("Answers, last 1 s and 10 s", "reqps", "Answers of upstreams per second over the same windows.", 8,
			query{one.aggregate("sum", "foo_sidecar_response_rate{L}", nil, "window"), "last {{window}}"}),
		share(graph("Coverage of the windows", "percentunit",
			"How much of each window the sidecar was there to count. Below 100 % the rates are too low by what is missing: it was started less than a window ago.", 8,
			query{one.aggregate("min", "foo_sidecar_window_coverage_ratio{L}", nil, "window"), "last {{window}}"})),
	}
}

// messages shows the messages by their type.
func messages() Panel {
	return stacked(graph("Messages", "ops", "Well-formed messages of both sides by type. As many answers as requests, but for what the sidecar answered itself.", width,
		query{one.aggregate("sum", "rate(foo_sidecar_messages_total{L}[RATE])", nil, "type"), "{{type}}"}))
}

// podState is the configuration and the checkpoint of one sidecar.
func podState() []Panel {
	refused := stat("Last reload", "short", "Whether the last configuration that was loaded is in force. If it was refused, /config says why.",
		one.in("min(foo_sidecar_config_last_reload_successful{T})"))
	refused.FieldConfig.Defaults.Mappings = []object{{"type": "value", "options": object{
		"0": object{"text": "refused", "color": "red"}, "1": object{"text": "in force", "color": "green"},
	}}}
	version := stat("Version", "short", "What is running: the version of the sidecar.", one.in("foo_sidecar_build_info{T}"))
	version.Targets[0].LegendFormat = "{{version}}"
	version.Options["textMode"] = "name"
	version.Options["graphMode"] = "none"
	return []Panel{
		version,
		stat("Generation", "short", "Number of the configuration that runs; the first one has 1.", one.in("max(foo_sidecar_config_generation{T})")),
		stat("Configuration in force for", "s", "Time since the configuration that runs was put in force.",
			one.in("time() - max(foo_sidecar_config_last_reload_success_timestamp_seconds{T})")),
		refused,
		stat("Last checkpoint", "s", "Time since the last checkpoint was written. Nothing is written while nothing changes. Empty before the first, and without checkpoints.",
			one.in("time() - max(foo_sidecar_checkpoint_last_success_timestamp_seconds{T})")),
		stat("Size of the checkpoint", "bytes", "Size of the last checkpoint that was written.", one.in("max(foo_sidecar_checkpoint_bytes{T})")),
		graph("Checkpoints", "ops", "Checkpoints that were written, and attempts that failed, per second.", 12,
			query{one.aggregate("sum", "rate(foo_sidecar_checkpoint_writes_total{T}[RATE])", nil, "result"), "{{result}}"}),
		graph("Reloads", "short", "Configurations that were put in force, and that were refused, since the start.", 12,
			query{one.aggregate("sum", "foo_sidecar_config_reloads_total{T}", nil, "result"), "{{result}}"}),
	}
}

// goPanels is what the Go runtime does.
func goPanels() []Panel {
	return []Panel{
		graph("Go heap", "bytes", "Memory that Go objects take, and the size at which the next collection starts.", 12,
			query{one.maxT(ofSidecars(one, "go_memstats_heap_alloc_bytes{T}")), "in use"},
			query{one.maxT(ofSidecars(one, "go_memstats_next_gc_bytes{T}")), "next collection"}),
		share(graph("Garbage collection", "percentunit", "Share of the time in which a collection stopped the program.", 12,
			query{one.maxT(ofSidecars(one, "rate(go_gc_duration_seconds_sum{T}[RATE])")), "stopped"})),
	}
}
