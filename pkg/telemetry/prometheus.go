package telemetry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewCollector returns a collector of all metrics of the sidecar's own. It
// takes one snapshot for each collection, so that the metrics of a scrape agree
// with each other.
func NewCollector(snapshot func() Snapshot) prometheus.Collector {
	c := collector{snapshot: snapshot}
	for _, m := range metrics {
		name := prometheus.BuildFQName(namespace, "", m.name)
		c.descs = append(c.descs, prometheus.NewDesc(name, m.help, m.labels, nil))
	}
	return c
}

// collector is a collector of constant metrics.
type collector struct {
	snapshot func() Snapshot
	descs    []*prometheus.Desc // of metrics, in their order
}

// Describe implements [prometheus.Collector].
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		ch <- desc
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.snapshot()
	for i, m := range metrics {
		e := emitter{ch: ch, desc: c.descs[i], valueType: prometheus.GaugeValue}
		if m.kind == counter {
			e.valueType = prometheus.CounterValue
		}
		m.collect(&s, e)
	}
}

// emitter sends the series of one metric to Prometheus.
type emitter struct {
	ch        chan<- prometheus.Metric
	desc      *prometheus.Desc
	valueType prometheus.ValueType
	listener  []string // the label of that name, if the metric has it
}

// value emits the series with the given labels.
func (e emitter) value(v float64, labels ...string) {
	e.send(prometheus.NewConstMetric(e.desc, e.valueType, v, slices.Concat(e.listener, labels)...))
}

// histogram emits the classic buckets of h.
func (e emitter) histogram(h *Histogram) {
	e.send(prometheus.NewConstHistogram(e.desc, uint64(h.count), h.seconds(), h.cumulative(), e.listener...))
}

// send sends m or, where there is none, the reason as an error of the scrape.
func (e emitter) send(m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(e.desc, err)
	}
	e.ch <- m
}

// NewHandler returns the handler of /metrics: the metrics of [NewCollector],
// those of the Go runtime and those of the process, in the text format or, for
// those who ask for it, as OpenMetrics. What cannot be shown is logged and left
// out.
func NewHandler(snapshot func() Snapshot, log logr.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		NewCollector(snapshot),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:          errorLog{NewLimited(log, time.Minute, nil)},
		ErrorHandling:     promhttp.ContinueOnError,
		EnableOpenMetrics: true,
	})
}

// errorLog logs what a scrape reports. Scrapes are frequent and mostly fail
// for the same reason again.
type errorLog struct{ log *Limited }

// Println implements [promhttp.Logger].
func (l errorLog) Println(v ...any) {
	text := strings.ReplaceAll(strings.TrimSpace(fmt.Sprintln(v...)), "\n", " ")
	l.log.Error("scrape", errors.New(text), "cannot show all metrics")
}
