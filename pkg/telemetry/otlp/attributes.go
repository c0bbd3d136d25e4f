package otlp

import (
	"cmp"
	"net"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry/inspect"
)

// system is the name of the protocol, and so of spans.
const system = "foo"

// failed reports whether a pair that ended like this is an error.
func failed(o proxy.Outcome) bool { return o != proxy.OutcomeAck }

// errorType says what the error of a pair that failed is: NAK if the upstream
// refused it, else why the sidecar did or why there was no answer.
func errorType(r *inspect.Record) string { return cmp.Or(r.Reason, "NAK") }

// failure describes for people how a pair failed.
func failure(r *inspect.Record) string {
	switch {
	case r.Reason == "":
		return "refused by the upstream"
	case r.NakBy != "":
		return "refused by the sidecar: " + r.Reason
	default:
		return "no answer: " + r.Reason
	}
}

// pairAttributes describes a pair.
func pairAttributes(p *proxy.Pair, r *inspect.Record, link *inspect.Link) []attribute.KeyValue {
	a := make([]attribute.KeyValue, 0, 24)
	a = append(a,
		semconv.RPCSystemNameKey.String(system),
		attribute.Int64("foo.seq", r.Seq),
		attribute.Int64("foo.session", int64(r.Session)),
		attribute.String("foo.listener", r.Listener),
		attribute.String("foo.outcome", r.Outcome),
		attribute.StringSlice("foo.why", r.Why),
		attribute.Float64("foo.adjusted_count", r.AdjustedCount),
		attribute.Int64("foo.request.size", r.RequestBytes),
		attribute.Float64("foo.wait", r.Wait),
		attribute.Int("foo.retries", r.Retries),
	)
	switch p.Outcome {
	case proxy.OutcomeAck:
		a = append(a, semconv.RPCResponseStatusCode("ACK"))
	case proxy.OutcomeNak, proxy.OutcomeRefused:
		a = append(a, semconv.RPCResponseStatusCode("NAK"), attribute.String("foo.nak_by", r.NakBy))
	}
	if p.Outcome == proxy.OutcomeAck || p.Outcome == proxy.OutcomeNak {
		a = append(a, attribute.Int64("foo.response.size", r.AnswerBytes))
	}
	if failed(p.Outcome) {
		a = append(a, semconv.ErrorTypeKey.String(errorType(r)))
	}
	a = appendAddress(a, r.Client, semconv.ClientAddressKey, semconv.ClientPortKey)
	if link != nil {
		a = appendPeer(a, link)
	}
	return a
}

// linkAttributes describes an upstream connection.
func linkAttributes(link *inspect.Link) []attribute.KeyValue {
	a := []attribute.KeyValue{semconv.RPCSystemNameKey.String(system)}
	a = appendAddress(a, link.Client, semconv.ClientAddressKey, semconv.ClientPortKey)
	return appendPeer(a, link)
}

// appendPeer appends who was asked for, and who was reached.
func appendPeer(a []attribute.KeyValue, link *inspect.Link) []attribute.KeyValue {
	a = appendAddress(a, link.Server, semconv.ServerAddressKey, semconv.ServerPortKey)
	return appendAddress(a, link.Peer, semconv.NetworkPeerAddressKey, semconv.NetworkPeerPortKey)
}

// appendAddress appends an address, and its port if it has one. What has none is
// the path of a Unix socket.
func appendAddress(a []attribute.KeyValue, address string, host, port attribute.Key) []attribute.KeyValue {
	address = strings.TrimPrefix(address, "unix:")
	if address == "" || address == "@" { // "@" is a socket without a name
		return a
	}
	name, service, err := net.SplitHostPort(address)
	if err != nil {
		return append(a, host.String(address))
	}
	a = append(a, host.String(cmp.Or(name, "localhost")))
	if n, err := strconv.Atoi(service); err == nil {
		a = append(a, port.Int(n))
	}
	return a
}
