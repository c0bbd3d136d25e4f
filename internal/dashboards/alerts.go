package dashboards

import (
	"fmt"
	"strings"
)

// alert is an alert as it is written down here.
type alert struct {
	name, severity, wait, expr, summary, description string
}

// where names the pod or workload in a text.
const (
	wherePod      = "{{ $labels.namespace }}/{{ $labels.pod }}"
	whereWorkload = "{{ $labels.namespace }}/{{ $labels.workload }}"
)

// count is the value of an expression that counts. increase() makes fractions of
// what happened.
const count = `{{ $value | printf "%.0f" }}`

// Alerts returns the alerts.
func Alerts() RuleFile {
	groups := []struct {
		name   string
		alerts []alert
	}{
		{"foo-sidecar-slo-alerts", burnAlerts()},
		{"foo-sidecar-upstream-alerts", upstreamAlerts()},
		{"foo-sidecar-client-alerts", clientAlerts()},
		{"foo-sidecar-process-alerts", processAlerts()},
	}
	var file RuleFile
	for _, g := range groups {
		group := Group{Name: g.name}
		for _, a := range g.alerts {
			group.Rules = append(group.Rules, Rule{
				Alert: a.name, Expr: a.expr, For: a.wait,
				Labels: map[string]string{"severity": a.severity},
				Annotations: map[string]string{
					"summary": a.summary, "description": a.description, "runbook_url": RunbookURL + a.name + ".md",
				},
			})
		}
		file.Groups = append(file.Groups, group)
	}
	return file
}

// burnAlerts tell that the budget for errors is used up too fast. The factors
// and windows are those of Google's SRE workbook: 14.4 spends a fiftieth of a month's
// budget in an hour, 6 a twentieth in six hours.
func burnAlerts() []alert {
	burn := func(bad, all string, budget, factor float64, short, long string) string {
		over := func(w string) string {
			return fmt.Sprintf("namespace_workload:foo_sidecar_%s:rate%s\n  / namespace_workload:foo_sidecar_%s:rate%s > %g * %g",
				bad, w, all, w, factor, budget)
		}
		// A single failure among few requests is a large share, but no reason to wake
		// somebody.
		enough := fmt.Sprintf("namespace_workload:foo_sidecar_%s:rate%s * %d >= 5", bad, long, map[string]int{"1h": 3600, "6h": 6 * 3600}[long])
		return "(\n  " + over(short) + "\n)\nand\n(\n  " + over(long) + "\n)\nand\n" + enough
	}
	const value = "{{ $value | humanizePercentage }}"
	slow := fmt.Sprintf("%g ms", slowBound*1000)
	return []alert{
		{
			"FooSidecarRefusalsBurnFast", "critical", "2m", burn("refused", "ended", refusedBudget, 14.4, "5m", "1h"),
			"Many Foo requests of " + whereWorkload + " fail.",
			"Of the requests through the sidecars of " + whereWorkload + ", " + value + " were refused or not answered in the last 5 minutes; the objective is 0.1 %. " +
				"With 1.44 % the budget of 30 days is gone in 2 days.",
		},
		{
			"FooSidecarRefusalsBurnSlow", "warning", "15m", burn("refused", "ended", refusedBudget, 6, "30m", "6h"),
			"Foo requests of " + whereWorkload + " keep failing.",
			"Of the requests through the sidecars of " + whereWorkload + ", " + value + " were refused or not answered in the last 30 minutes; the objective is 0.1 %. " +
				"With 0.6 % the budget of 30 days is gone in 5 days.",
		},
		{
			"FooSidecarLatencyBurnFast", "critical", "2m", burn("slow", "answered", slowBudget, 14.4, "5m", "1h"),
			"Many Foo requests of " + whereWorkload + " are slow.",
			"Of the answers through the sidecars of " + whereWorkload + ", " + value + " took longer than " + slow + " in the last 5 minutes; the objective is 1 %. " +
				"With 14.4 % the budget of 30 days is gone in 2 days.",
		},
		{
			"FooSidecarLatencyBurnSlow", "warning", "15m", burn("slow", "answered", slowBudget, 6, "30m", "6h"),
			"Foo requests of " + whereWorkload + " keep being slow.",
			"Of the answers through the sidecars of " + whereWorkload + ", " + value + " took longer than " + slow + " in the last 30 minutes; the objective is 1 %. " +
				"With 6 % the budget of 30 days is gone in 5 days.",
		},
	}
}

func upstreamAlerts() []alert {
	dials := func(by, result, window string) string {
		return fmt.Sprintf("sum by (namespace, pod, %s) (increase(foo_sidecar_upstream_dials_total{%s}[%s]))", by, result, window)
	}
	const failed = `result="failure"`
	return []alert{
		{
			"FooSidecarUpstreamUnreachable", "critical", "1m",
			dials("upstream", failed, "2m") + " > 0\nunless\n" + dials("upstream", `result="success"`, "2m") + " > 0",
			"The sidecar of " + wherePod + " can't reach upstream {{ $labels.upstream }}.",
			"For at least 2 minutes every attempt to connect has failed. New clients wait for connectBudget and are then refused.",
		},
		{
			"FooSidecarDialsFailing", "warning", "10m",
			dials("upstream, address", failed, "10m") + "\n/ (" + dials("upstream, address", "", "10m") + " > 0)\n> 0.1",
			"The sidecar of " + wherePod + " often fails to connect to {{ $labels.address }}.",
			"{{ $value | humanizePercentage }} of the attempts in the last 10 minutes failed. Clients wait longer for their first answer.",
		},
		{
			"FooSidecarUpstreamConnectionsLost", "warning", "5m",
			"sum by (namespace, pod, listener) (increase(foo_sidecar_upstream_connections_lost_total[10m])) > 5",
			"Upstream connections of " + wherePod + " keep breaking.",
			count + " connections behind listener {{ $labels.listener }} broke in the last 10 minutes. Their outstanding requests were refused with the reason lost.",
		},
		{
			"FooSidecarClientsQueued", "warning", "2m",
			"min by (namespace, pod, listener) (min_over_time(foo_sidecar_upstream_queue[3m])) > 0",
			"Clients of " + wherePod + " wait for an upstream connection.",
			"For minutes there have always been clients of listener {{ $labels.listener }} that wait for an upstream connection, " + count + " at the least. Their requests are not read meanwhile.",
		},
		{
			"FooSidecarRequestStuck", "warning", "1m",
			"max by (namespace, pod, listener) (foo_sidecar_oldest_request_seconds) > 30",
			"A request through the sidecar of " + wherePod + " gets no answer.",
			"The oldest request of listener {{ $labels.listener }} has been waiting for {{ $value | humanizeDuration }}. The upstream is stuck, or has forgotten it.",
		},
		{
			"FooSidecarUnanswered", "warning", "0m",
			`sum by (namespace, pod, listener, reason) (increase(foo_sidecar_unanswered_total{reason!="client_left"}[10m])) > 0`,
			"Requests through the sidecar of " + wherePod + " ended without an answer.",
			count + " requests of listener {{ $labels.listener }} in the last 10 minutes, with the reason {{ $labels.reason }}.",
		},
	}
}

func clientAlerts() []alert {
	const by = "sum by (namespace, pod, listener"
	return []alert{
		{
			"FooSidecarMalformed", "warning", "0m",
			by + ", side, reason) (increase(foo_sidecar_malformed_total[10m])) > 0",
			"What the {{ $labels.side }} side sends to the sidecar of " + wherePod + " is not Foo.",
			count + " messages of the {{ $labels.side }} side of listener {{ $labels.listener }} could not be decoded in the last 10 minutes: {{ $labels.reason }}.",
		},
		{
			"FooSidecarProtocolViolations", "info", "0m",
			strings.Join([]string{
				by + ", reason) (increase(foo_sidecar_nonconforming_messages_total[15m])) > 0",
				"label_replace(" + by + `) (increase(foo_sidecar_unexpected_messages_total[15m])), "reason", "unexpected", "", "") > 0`,
				"label_replace(" + by + `) (increase(foo_sidecar_unmatched_answers_total[15m])), "reason", "unmatched", "", "") > 0`,
			}, "\nor\n"),
			"What passes the sidecar of " + wherePod + " does not conform to the protocol.",
			count + " messages of listener {{ $labels.listener }} in the last 15 minutes: {{ $labels.reason }}. They were passed on.",
		},
		{
			"FooSidecarConnectionsRejected", "warning", "0m",
			by + ") (increase(foo_sidecar_connections_rejected_total[5m])) > 0",
			"The sidecar of " + wherePod + " turns clients away.",
			count + " connections in the last 5 minutes: listener {{ $labels.listener }} has reached its maxConnections.",
		},
		{
			"FooSidecarAcceptErrors", "critical", "0m",
			by + ") (increase(foo_sidecar_accept_errors_total[5m])) > 0",
			"The sidecar of " + wherePod + " can't accept connections.",
			"Listener {{ $labels.listener }} failed to accept a connection " + count + " times in the last 5 minutes, most likely for lack of file descriptors.",
		},
	}
}

func processAlerts() []alert {
	const sidecars = "\nand on (job, instance) "
	return []alert{
		{
			"FooSidecarDown", "warning", "2m",
			"up == 0" + sidecars + "group by (job, instance) (last_over_time(foo_sidecar_build_info[1h]))",
			"The sidecar of " + wherePod + " can't be scraped.",
			"Prometheus has not reached {{ $labels.instance }} for 2 minutes, although its pod is still there. Its clients may not be served.",
		},
		{
			"FooSidecarsGone", "warning", "5m",
			"group by (namespace) (last_over_time(foo_sidecar_build_info[1h]))\nunless\ngroup by (namespace) (foo_sidecar_build_info)",
			"There are no sidecars any more in {{ $labels.namespace }}.",
			"An hour ago Prometheus scraped sidecars in {{ $labels.namespace }}, now none. The alert ends by itself an hour after the last was seen.",
		},
		{
			"FooSidecarRestarted", "warning", "0m",
			"max by (namespace, pod, job, instance) (changes(process_start_time_seconds[15m])) > 0" + sidecars + "group by (job, instance) (foo_sidecar_build_info)",
			"The sidecar of " + wherePod + " was restarted.",
			"It started anew " + count + " times in the last 15 minutes while its pod remained. Connections of its clients were lost each time.",
		},
		{
			"FooSidecarDescriptorsShort", "warning", "5m",
			"max by (namespace, pod, job, instance) (process_open_fds / process_max_fds) > 0.8" + sidecars + "group by (job, instance) (foo_sidecar_build_info)",
			"The sidecar of " + wherePod + " runs out of file descriptors.",
			"{{ $value | humanizePercentage }} of them are in use. When none is left, clients are not accepted and upstreams can't be reached.",
		},
		{
			"FooSidecarConfigRefused", "warning", "1m",
			"min by (namespace, pod) (foo_sidecar_config_last_reload_successful) == 0",
			"The sidecar of " + wherePod + " refused its configuration.",
			"The last configuration that it loaded is not valid or can't be put in force. The one before remains in force.",
		},
		{
			"FooSidecarCheckpointFailing", "warning", "1m",
			`sum by (namespace, pod) (increase(foo_sidecar_checkpoint_writes_total{result="failure"}[5m])) > 0` +
				"\nunless\n" + `sum by (namespace, pod) (increase(foo_sidecar_checkpoint_writes_total{result="success"}[5m])) > 0`,
			"The sidecar of " + wherePod + " can't save its statistics.",
			count + " attempts in the last 5 minutes failed, and none succeeded. Traffic is not touched, but what was counted since is lost at the next crash.",
		},
		{
			"FooSidecarCheckpointStale", "warning", "5m",
			"time() - max by (namespace, pod) (foo_sidecar_checkpoint_last_success_timestamp_seconds) > 300" +
				"\nand\nsum by (namespace, pod) (rate(foo_sidecar_messages_total[5m])) > 0",
			"The statistics of " + wherePod + " have not been saved for long.",
			"The last checkpoint is {{ $value | humanizeDuration }} old, although requests pass.",
		},
		{
			"FooSidecarSpansDropped", "info", "5m",
			`sum by (namespace, pod, reason) (increase(foo_sidecar_spans_dropped_total{reason!="limit"}[10m])) > 0`,
			"The sidecar of " + wherePod + " loses traces.",
			count + " spans were dropped in the last 10 minutes, with the reason {{ $labels.reason }}. Requests are not touched.",
		},
	}
}
