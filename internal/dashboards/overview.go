package dashboards

// Overview is the dashboard of a fleet: by namespace, workload and pod.
func Overview() Dashboard {
	d := dashboard(overviewUID, "Foo sidecars",
		"All sidecars by namespace, workload and pod. First what clients notice, then what runs short, then why.", "now-1h",
		[]Variable{
			choice("namespace", "Where the pods are.", "namespace", "", true),
			workloadChoice(),
			choice("pod", "Of the chosen workloads.", "pod", "{"+`namespace=~"$namespace",pod=~"$workload`+podSuffix+`"`+"}", true),
			choice("listener", "By its name in the configuration.", "listener", "{"+fleet.target+"}", true),
		},
		[]row{
			{"At a glance", glance(fleet)},
			{"Requests, errors, duration", append(requests(fleet), topPods()...)},
			{"Pods", []Panel{podTable()}},
			{"Saturation", saturation(fleet)},
			{"Upstreams", upstreams(fleet)},
			{"Protocol", conformance(fleet)},
			{"Configuration and checkpoints", fleetState()},
			{"Tracing and logs", diagnosis(fleet)},
			{"Processes", runtimePanels(fleet)},
		})
	d.Links = []link{{
		Title: "One pod", Type: "link", URL: "/d/" + podUID + "?${namespace:queryparam}&${datasource:queryparam}",
		KeepTime: true, Icon: "dashboard",
	}}
	return d
}

// workloadChoice offers the workloads that the names of the pods tell.
func workloadChoice() Variable {
	v := choice("workload", "Deployments, StatefulSets and so on, as the names of the pods tell.", "pod", `{namespace=~"$namespace"}`, true)
	v.Regex = "/^" + podName + "$/"
	return v
}

// toPod leads from a series or line with the labels of a pod to its dashboard.
func toPod(p Panel) Panel {
	labels := "${__field.labels."
	if p.Type == "table" {
		labels = "${__data.fields."
	}
	return linked(p, "This pod", "/d/"+podUID+"?var-namespace="+labels+"namespace}&var-pod="+labels+
		"pod}&${datasource:queryparam}&${__url_time_range}")
}

// topPods shows the pods that stand out.
func topPods() []Panel {
	perPod := func(expr string, more ...string) string {
		return fleet.aggregate("sum", expr, []string{"namespace", "pod"}, more...)
	}
	name := legend([]string{"namespace", "pod"})
	return []Panel{
		toPod(share(graph("Pods with the most refusals", "percentunit",
			"The ten pods of which the largest share of requests is refused or not answered. A click on a line leads to the pod. "+
				"If one pod stands out, look at that pod; if all of them are alike, look at what they share: the upstream.", 12,
			query{"topk(10, " + refusedShare(perPod) + ")", name}))),
		toPod(graph("Slowest pods", "s",
			"The ten pods with the highest 99th percentile of the duration. A click on a line leads to the pod.", 12,
			query{"topk(10, " + quantile(0.99, perPod) + ")", name})),
	}
}

// podTable compares all pods.
func podTable() Panel {
	labels := []string{"namespace", "pod"}
	perPod := func(expr string, more ...string) string { return fleet.aggregate("sum", expr, labels, more...) }
	oldest := fleet.aggregate("max", "foo_sidecar_oldest_request_seconds{L}", labels)
	return toPod(table("Pods now", "Each sidecar with what it does now. A click leads to the pod; a click on a heading sorts.", []column{
		{"Requests", "reqps", perPod(`rate(foo_sidecar_messages_total{L,type="req"}[RATE])`)},
		{"Refused", "percentunit", refusedShare(perPod)},
		{"p99", "s", quantile(0.99, perPod)},
		{"In flight", "short", perPod("foo_sidecar_in_flight_requests{L}")},
		{"Oldest request", "s", oldest},
		{"Connections", "short", perPod("foo_sidecar_connections{L}")},
		{"Waiting for upstream", "short", perPod("foo_sidecar_upstream_queue{L}")},
		{"Up for", "s", "time() - " + fleet.aggregate("max", ofSidecars(fleet, "process_start_time_seconds{T}"), labels)},
		{"", "", fleet.aggregate("max", "foo_sidecar_build_info{T}", labels, "version")},
	}))
}

// fleetState shows whether all sidecars run the same, and can reload and save.
func fleetState() []Panel {
	return []Panel{
		stacked(graph("Versions", "short",
			"How many sidecars run each version. Two versions for longer than a rollout takes mean pods that were not restarted.", 6,
			query{"count by (version) (" + fleet.in("foo_sidecar_build_info{T}") + ")", "{{version}}"})),
		graph("Refused configurations", "short",
			"Sidecars whose last configuration was refused. They go on with the one before; /config of the pod says what is wrong.", 6,
			query{fleet.sumT("1 - foo_sidecar_config_last_reload_successful{T}"), legend(fleet.by)}),
		graph("Oldest checkpoint", "s",
			"Time since the last checkpoint was written, the oldest of each workload. Nothing is written while nothing changes, "+
				"so this matters where requests pass.", 6,
			query{"time() - " + fleet.aggregate("min", "foo_sidecar_checkpoint_last_success_timestamp_seconds{T}", fleet.by), legend(fleet.by)}),
		graph("Failed checkpoints and reloads", "ops",
			"Checkpoints that could not be written, and configurations that were refused, per second.", 6,
			query{fleet.sumT(`rate(foo_sidecar_checkpoint_writes_total{T,result="failure"}[RATE])`), "checkpoint " + legend(fleet.by)},
			query{fleet.sumT(`rate(foo_sidecar_config_reloads_total{T,result="failure"}[RATE])`), "reload " + legend(fleet.by)}),
	}
}
