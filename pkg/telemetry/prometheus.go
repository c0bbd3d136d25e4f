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
		c.descs = append(c.descs, prometheus.NewDesc(m.fullName(), m.help, m.labels, nil))
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
	listener  []string  // the label of that name, if the metric has it
	began     time.Time // when the counting did, for metrics of listeners
	trace     *Exemplar // shown with the values, unless nil
}

// exemplar returns an emitter that shows x with its values. Nil shows nothing.
func (e emitter) exemplar(x *Exemplar) emitter {
	e.trace = x
	return e
}

// value emits the series with the given labels.
func (e emitter) value(v float64, labels ...string) {
	m, err := prometheus.NewConstMetric(e.desc, e.valueType, v, slices.Concat(e.listener, labels)...)
	if err == nil && e.trace != nil {
		// Of a counter, an exemplar is one of those that were counted.
		m, err = prometheus.NewMetricWithExemplars(m, e.trace.shown(1))
	}
	e.send(m, err)
}

// histogram emits h with both kinds of buckets.
func (e emitter) histogram(h *Histogram, x *Exemplars) {
	e.send(newHistogram(e.desc, h, e.began, x, e.listener))
}

// send sends m or, where there is none, the reason as an error of the scrape.
func (e emitter) send(m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(e.desc, err)
	}
	e.ch <- m
}

// NewGatherer returns all that is told by metrics: those of [NewCollector], of the
// Go runtime and of the process. Whoever gathers, be it for a scrape or to send
// them somewhere, can share one.
func NewGatherer(snapshot func() Snapshot) prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		NewCollector(snapshot),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}

// NewHandler returns the handler of /metrics: what g gathers, in the text format
// or, for those who ask for it, as OpenMetrics or in Prometheus' binary format.
// Only the latter two have exemplars, and only the last has native histograms.
// What cannot be shown is logged and left out.
func NewHandler(g prometheus.Gatherer, log logr.Logger) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{
		ErrorLog:          errorLog{NewLimited(log, time.Minute)},
		ErrorHandling:     promhttp.ContinueOnError,
		EnableOpenMetrics: true,
		// Compressing takes more time than all the rest of a scrape, and saves a
		// cluster's network some ten kilobytes.
		DisableCompression: true,
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
