package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
)

// Telemetry is what is told of single pairs, and where spans and metrics are
// sent.
type Telemetry struct {
	// Which pairs are looked at one by one: traced, written to the access log
	// and shown in /debug/recent. The statistics always count all of them.
	Pairs Pairs `json:"pairs"`
	// Spans of the pairs that are chosen.
	Traces Traces `json:"traces"`
	// Metrics beside those that are served at /metrics.
	Metrics Metrics `json:"metrics"`
	// The collector that spans and metrics are sent to by OTLP. What it wants
	// for headers and certificates comes from the OTEL_EXPORTER_OTLP_*
	// variables alone, as secrets do not belong into this document.
	OTLP OTLP `json:"otlp"`
}

// Pairs says which pairs are looked at one by one. Those that failed always
// are, as far as perSecond allows.
type Pairs struct {
	// Share of ordinary pairs, neither failed nor slow, from 0 (none) to 1
	// (all).
	//
	// On change: at once.
	Ratio float64 `json:"ratio" jsonschema:"minimum=0,maximum=1"`
	// How long a pair must have taken to be slow: p99 is what 99 of 100 pairs
	// of the last 10 s were faster than, none makes no pair slow, and a duration
	// such as 50ms is a fixed bound.
	//
	// On change: at once.
	Slow Slow `json:"slow"`
	// Most pairs a second that are chosen, of all kinds together; ordinary ones
	// get at most half of them. What is left out is counted. At least 1.
	//
	// On change: at once.
	PerSecond int `json:"perSecond" jsonschema:"minimum=1"`
	// Whether the Data of messages is shown by taps, by /debug/recent and on
	// the status page: redact hides it, show shows it to whoever reaches the
	// HTTP server.
	//
	// On change: at once.
	Payload Payload `json:"payload"`
}

// Traces is what becomes of the pairs that are chosen to be traced.
type Traces struct {
	// Where spans go: otlp sends them to the collector, none makes none. auto is
	// otlp if an endpoint is set, in telemetry.otlp or by the variable
	// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, and
	// else none.
	//
	// On change: at once.
	Exporter TraceExporter `json:"exporter"`
	// W3C trace context in the Data of requests; docs/protocol.md has the
	// convention. Three switches of their own.
	Context TraceContext `json:"context"`
}

// TraceContext is what is done about W3C trace context in requests.
type TraceContext struct {
	// Reads a traceparent from a request's Data: the pair's span becomes a child
	// of the caller's, and is sampled if the caller's is.
	//
	// On change: new connections only.
	Extract bool `json:"extract"`
	// Writes the traceparent of the pair's span into the Data of a request
	// that is sampled, which the upstream must expect. Needs spans, so not
	// exporter none.
	//
	// On change: new connections only.
	Inject bool `json:"inject"`
	// Removes the caller's traceparent before the request goes upstream.
	//
	// On change: new connections only.
	Strip bool `json:"strip"`
	// Where extract and strip find the traceparent in Data: a regular
	// expression (RE2) with exactly one group, which holds it. Empty: where the
	// convention of docs/protocol.md puts it.
	//
	// On change: new connections only.
	Pattern string `json:"pattern" jsonschema:"format=regex"`
}

// Metrics is how metrics are sent, beside being served.
type Metrics struct {
	// Sends the metrics by OTLP as well, for Jobs that may end before they are
	// scraped.
	//
	// On change: at once.
	Push bool `json:"push"`
	// Time between two sendings. At least 1s.
	//
	// On change: at once.
	Interval Duration `json:"interval"`
}

// OTLP is the collector that spans and metrics are sent to.
type OTLP struct {
	// URL of the collector, such as http://host:4317. Empty: that of the
	// variable OTEL_EXPORTER_OTLP_ENDPOINT.
	//
	// On change: at once.
	Endpoint string `json:"endpoint" jsonschema:"pattern=^(https?://.+)?$"`
	// How the collector is spoken to. auto is what the variable
	// OTEL_EXPORTER_OTLP_PROTOCOL says, or else grpc if the endpoint's port is
	// 4317, or else http/protobuf.
	//
	// On change: at once.
	Protocol OTLPProtocol `json:"protocol"`
}

func defaultTelemetry() Telemetry {
	return Telemetry{
		Pairs:   Pairs{Ratio: 0.01, Slow: SlowP99, PerSecond: 100, Payload: PayloadRedact},
		Traces:  Traces{Exporter: TraceExporterAuto},
		Metrics: Metrics{Interval: Duration(30 * time.Second)},
		OTLP:    OTLP{Protocol: OTLPProtocolAuto},
	}
}

// minPush is the shortest time between two sendings of all metrics.
const minPush = Duration(time.Second)

func (f *findings) validateTelemetry(t Telemetry) {
	if r := t.Pairs.Ratio; (r < 0 || r > 1) && f.intact("telemetry.pairs.ratio") {
		f.report("telemetry.pairs.ratio", "got %v, expected a number from 0 to 1", r)
	}
	if n := t.Pairs.PerSecond; n < 1 && f.intact("telemetry.pairs.perSecond") {
		f.report("telemetry.pairs.perSecond", "got %d, expected at least 1", n)
	}
	f.atLeast("telemetry.metrics.interval", t.Metrics.Interval, minPush)

	const exporter, inject = "telemetry.traces.exporter", "telemetry.traces.context.inject"
	if t.Traces.Context.Inject && t.Traces.Exporter == TraceExporterNone && f.intact(inject) && f.intact(exporter) {
		f.reportBetween(inject, exporter, "got true while %s is none, so there are no spans whose context could be written, "+
			"expected false or an exporter", exporter)
	}
	const pattern = "telemetry.traces.context.pattern"
	if text := t.Traces.Context.Pattern; text != "" && f.intact(pattern) {
		if err := checkPattern(text); err != nil {
			f.report(pattern, "%.300q: %v", text, err)
		}
	}
	const endpoint = "telemetry.otlp.endpoint"
	if text := t.OTLP.Endpoint; text != "" && f.intact(endpoint) {
		if strings.Contains(text, "@") { // not shown, for errors are logged
			f.report(endpoint, "a URL with credentials, which do not belong here, expected one without; "+
				"set the variable OTEL_EXPORTER_OTLP_HEADERS in place of them")
		} else if err := checkEndpoint(text); err != nil {
			f.report(endpoint, "%.300q: %v", text, err)
		}
	}
}

// checkPattern says what is wrong with the pattern of a traceparent.
func checkPattern(text string) error {
	const expected = "expected a regular expression (RE2) with exactly one group"
	if !printable(text) {
		return errors.New(`characters that cannot be printed, expected escapes such as \t for them`)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		why := "not valid"
		if broken, ok := errors.AsType[*syntax.Error](err); ok {
			why = broken.Code.String()
		}
		return fmt.Errorf("%s, %s", why, expected)
	}
	if n := re.NumSubexp(); n != 1 {
		return fmt.Errorf("got %d groups, %s; (?:...) groups without counting", n, expected)
	}
	return nil
}

// checkEndpoint says what is wrong with the URL of a collector.
func checkEndpoint(text string) error {
	const expected = "expected a URL such as http://host:4317"
	u, err := url.Parse(text)
	switch {
	case !printable(text):
		return fmt.Errorf("characters that cannot be printed, %s", expected)
	case err != nil:
		return fmt.Errorf("not a URL, %s", expected)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("begins with neither http:// nor https://, %s", expected)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return fmt.Errorf("a query or a fragment, of which OTLP makes no use, %s", expected)
	}
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err != nil && !isHostName(host) {
		return fmt.Errorf("the host is neither an IP address nor a DNS name, %s", expected)
	}
	if port, err := strconv.ParseUint(cmp.Or(u.Port(), "443"), 10, 16); err != nil || port == 0 {
		return fmt.Errorf("the port is not a number from 1 to 65535, %s", expected)
	}
	return nil
}
