package otlp

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/go-logr/logr"
)

// Options configures a [Tracer] or a [Pusher].
type Options struct {
	// Endpoint is the URL of the collector, such as http://collector:4317. Empty:
	// that of the environment, else this machine.
	Endpoint string
	// Protocol is grpc or http/protobuf. Empty or auto: that of the environment,
	// else grpc if the endpoint's port is 4317, else http/protobuf.
	Protocol string
	// Version is that of this program.
	Version string
	// Log is told when sending begins to fail and when it works again. The zero
	// Logger logs nothing.
	Log logr.Logger
	// Counters are what a Tracer adds to, so that counts go on when one Tracer
	// follows another. Nil means its own. A Pusher does not use them.
	Counters *Counters
}

// Wanted reports whether spans are to be sent, by the configuration (exporter is
// auto, otlp or none) and by the environment. auto sends if somebody named an
// endpoint or, in the environment, this exporter.
func Wanted(exporter, endpoint string, getenv func(string) string) bool {
	named := getenv("OTEL_TRACES_EXPORTER")
	switch {
	case exporter == "none", !allowed(named, getenv):
		return false
	case exporter == "otlp":
		return true
	}
	return named != "" || cmp.Or(endpoint, traces.getenv("ENDPOINT", getenv)) != ""
}

// PushWanted reports whether metrics are to be sent: the configuration must say
// so, and the environment must not forbid it.
func PushWanted(push bool, getenv func(string) string) bool {
	return push && allowed(getenv("OTEL_METRICS_EXPORTER"), getenv)
}

// allowed reports whether the environment leaves us the exporter of a signal;
// exporters are those that it names.
func allowed(exporters string, getenv func(string) string) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	return exporters == "" || slices.ContainsFunc(strings.Split(exporters, ","), func(name string) bool {
		return strings.TrimSpace(name) == "otlp"
	})
}

// signal is a kind of telemetry.
type signal struct {
	name string // as the log says it
	env  string // as environment variables say it
	path string // of an OTLP/HTTP request
}

var (
	traces  = signal{"traces", "TRACES", "v1/traces"}
	metrics = signal{"metrics", "METRICS", "v1/metrics"}
)

// getenv returns a variable of the exporters: the signal's own, or the one of
// all signals.
func (s signal) getenv(name string, getenv func(string) string) string {
	return cmp.Or(getenv("OTEL_EXPORTER_OTLP_"+s.env+"_"+name), getenv("OTEL_EXPORTER_OTLP_"+name))
}

// target is where a signal is sent, and how.
type target struct {
	url  string
	grpc bool
}

// target finds out where a signal is sent. It is said to the exporters in so
// many words, because left alone they would take encryption for granted where
// nobody named an endpoint, and take a malformed one for none.
func (o Options) target(s signal) (target, error) {
	base, where, own := o.Endpoint, "the configured endpoint", ""
	if base == "" {
		own, where = os.Getenv("OTEL_EXPORTER_OTLP_"+s.env+"_ENDPOINT"), "OTEL_EXPORTER_OTLP_"+s.env+"_ENDPOINT"
		base = own
	}
	if base == "" {
		base, where = os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), "OTEL_EXPORTER_OTLP_ENDPOINT"
	}
	var at url.URL
	if base != "" {
		u, err := url.Parse(base)
		if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
			return target{}, fmt.Errorf("%s must be a URL such as http://collector:4317, not %q", where, base)
		}
		at = *u
	}

	t := target{grpc: at.Port() == "4317"}
	switch protocol := o.protocol(s); protocol {
	case "":
	case "grpc", "http/protobuf", "http/json": // the exporters tell the last two apart
		t.grpc = protocol == "grpc"
	default:
		return target{}, fmt.Errorf("the OTLP protocol must be grpc or http/protobuf, not %q", protocol)
	}
	switch {
	case at.Scheme == "http" && s.getenv("CERTIFICATE", os.Getenv)+s.getenv("CLIENT_CERTIFICATE", os.Getenv) != "":
		return target{}, fmt.Errorf("%s is %s, and so not encrypted, but the environment has a certificate for it: make it https", where, base)
	case base == "" && t.grpc:
		at = url.URL{Scheme: "http", Host: "localhost:4317"}
	case base == "":
		at = url.URL{Scheme: "http", Host: "localhost:4318"}
	}
	// By OpenTelemetry's rules the endpoint of one signal is the whole URL.
	if !t.grpc && own == "" {
		at = *at.JoinPath(s.path)
	}
	t.url = at.String()
	return t, nil
}

// protocol returns the protocol that somebody asked for, or nothing.
func (o Options) protocol(s signal) string {
	if o.Protocol != "auto" && o.Protocol != "" {
		return o.Protocol
	}
	return s.getenv("PROTOCOL", os.Getenv)
}
