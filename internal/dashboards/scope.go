package dashboards

import (
	"fmt"
	"strings"
)

// A pod is called after its workload, and a workload is no label of any metric.
// These are the names that Kubernetes gives to the pods of Deployments, CronJobs
// (WORKLOAD-HASH-ID), DaemonSets, Jobs (WORKLOAD-ID) and StatefulSets
// (WORKLOAD-NUMBER). Its random letters are none that make words, so that the
// pods of web-api are not taken for those of web.
const (
	letters   = "[bcdfghjklmnpqrstvwxz2456789]"
	podSuffix = "((-" + letters + "{6,10}|-[0-9]{8,})?-" + letters + "{5}|-[0-9]+)?"
	// podName has the workload as its first group.
	podName = "(.*?)" + podSuffix
)

// byWorkload adds the label workload to what has the label pod.
func byWorkload(expr string) string {
	return fmt.Sprintf(`label_replace(%s, "workload", "$1", "pod", %q)`, expr, podName)
}

// scope is which sidecars a dashboard shows, and what it tells apart.
type scope struct {
	target   string   // matchers of what belongs to the whole sidecar
	listener string   // matchers of what belongs to a listener
	by       []string // labels of what belongs to the whole sidecar
	byL      []string // labels of what belongs to a listener
}

// fleet is all sidecars that are chosen, by workload.
var fleet = scope{
	target:   `namespace=~"$namespace",pod=~"$workload` + podSuffix + `",pod=~"$pod"`,
	listener: `namespace=~"$namespace",pod=~"$workload` + podSuffix + `",pod=~"$pod",listener=~"$listener"`,
	by:       []string{"namespace", "workload"},
	byL:      []string{"namespace", "workload"},
}

// one is one sidecar, by listener.
var one = scope{
	target:   `namespace=~"$namespace",pod="$pod"`,
	listener: `namespace=~"$namespace",pod="$pod",listener=~"$listener"`,
	byL:      []string{"listener"},
}

// in replaces the short words that expressions are written with: L and T are the
// matchers of the scope for what belongs to a listener or to the whole sidecar,
// and RATE is the window for rates.
func (s scope) in(expr string) string {
	return strings.NewReplacer(
		"{L}", "{"+s.listener+"}", "{L,", "{"+s.listener+",",
		"{T}", "{"+s.target+"}", "{T,", "{"+s.target+",",
		"[RATE]", "[$__rate_interval]",
	).Replace(expr)
}

// aggregate applies sum, max and the like to what the scope tells apart, and to
// more labels.
func (s scope) aggregate(op, expr string, labels []string, more ...string) string {
	expr = s.in(expr)
	labels = append(append([]string(nil), labels...), more...)
	if len(s.by) > 0 && len(labels) > 0 && strings.Contains(strings.Join(labels, ","), "workload") {
		expr = byWorkload(expr)
	}
	if len(labels) == 0 {
		return fmt.Sprintf("%s(%s)", op, expr)
	}
	return fmt.Sprintf("%s by (%s) (%s)", op, strings.Join(labels, ", "), expr)
}

// sum, max: of something that belongs to a listener.
func (s scope) sum(expr string, more ...string) string {
	return s.aggregate("sum", expr, s.byL, more...)
}
func (s scope) max(expr string, more ...string) string {
	return s.aggregate("max", expr, s.byL, more...)
}

// sumT, maxT: of something that belongs to the whole sidecar.
func (s scope) sumT(expr string, more ...string) string {
	return s.aggregate("sum", expr, s.by, more...)
}
func (s scope) maxT(expr string) string { return s.aggregate("max", expr, s.by) }

// legend is the name of a series that is told apart by these labels.
func legend(labels []string, more ...string) string {
	var parts []string
	for _, label := range append(append([]string(nil), labels...), more...) {
		parts = append(parts, "{{"+label+"}}")
	}
	return strings.Join(parts, " ")
}

// quantile is a percentile of the durations. It takes the native histogram where
// Prometheus keeps it, which is exact to 9 %, and else the classic buckets.
func quantile(q float64, aggregate func(expr string, more ...string) string) string {
	return fmt.Sprintf("histogram_quantile(%g, %s) or histogram_quantile(%g, %s)",
		q, aggregate("rate("+duration+"{L}[RATE])"), q, aggregate("rate("+duration+"_bucket{L}[RATE])", "le"))
}

const duration = "foo_sidecar_request_duration_seconds"

// How requests end, in words that are used more than once: whatever is no answer
// of the upstream counts as an end too, unless the client did not wait for it.
const (
	endedUpstream = `foo_sidecar_pairs_total`
	endedLocal    = `foo_sidecar_local_naks_total`
	endsRequest   = `reason=~"unavailable|lost|draining"`
	notLeft       = `reason!="client_left"`
)

// refused is the rate of requests that were refused or not answered, and ended
// of all that ended. matchers go into the selectors, window into the brackets.
func refused(aggregate func(string) string, matchers, window string) string {
	return strings.Join([]string{
		aggregate(selectRate(endedUpstream, matchers, `outcome="nak"`, window)),
		aggregate(selectRate(endedLocal, matchers, endsRequest, window)),
		aggregate(selectRate("foo_sidecar_unanswered_total", matchers, notLeft, window)),
	}, " + ")
}

func ended(aggregate func(string) string, matchers, window string) string {
	return strings.Join([]string{
		aggregate(selectRate(endedUpstream, matchers, "", window)),
		aggregate(selectRate(endedLocal, matchers, endsRequest, window)),
		aggregate(selectRate("foo_sidecar_unanswered_total", matchers, notLeft, window)),
	}, " + ")
}

func selectRate(name, matchers, more, window string) string {
	all := strings.Trim(matchers+","+more, ",")
	if all != "" {
		all = "{" + all + "}"
	}
	return fmt.Sprintf("rate(%s%s[%s])", name, all, window)
}

// refusedShare is the share of the requests that was refused or not answered.
// Where nothing ended it is 0, not a gap.
func refusedShare(aggregate func(expr string, more ...string) string) string {
	plain := func(expr string) string { return aggregate(expr) }
	all := ended(plain, "L", "RATE")
	return fmt.Sprintf("(%s) / ((%s) > 0) or (%s)", refused(plain, "L", "RATE"), all, all)
}
