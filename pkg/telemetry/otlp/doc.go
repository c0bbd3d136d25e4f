// Package otlp sends telemetry to an OpenTelemetry collector: the spans of the
// pairs that were chosen, and optionally the metrics.
//
// A [Tracer] makes a span of a pair once the pair is complete, with the times it
// had. Nothing is sampled here: that a pair becomes a span was decided before.
// Spans wait in a bounded queue for the exporter; what finds no room, or what
// the collector does not take, is dropped and counted ([Tracer.Stats]), and the
// log tells once when that begins and once when it is over. A [Pusher] sends
// what a Prometheus gatherer holds, each interval and once more at its end.
//
//	tracer, err := otlp.NewTracer(ctx, otlp.Options{Version: version, Log: log})
//	if err != nil {
//		return fmt.Errorf("start tracing: %w", err)
//	}
//	defer tracer.Shutdown(ctx) // sends what is queued
//
// # Spans
//
// A pair is a span "foo" of the kind client, in the trace of the request if that
// brought one. Its attributes follow the semantic conventions for RPC; what those
// have no name for begins with "foo.". Only a pair that failed has error.type and
// the status Error. The span links to the one of the upstream connection that
// the request went over, "foo connection", which is a trace of its own and is sent
// when the connection has ended.
//
// # Environment
//
// These variables of OpenTelemetry are honoured:
//
//   - OTEL_SDK_DISABLED=true, OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER
//     (none, or anything without otlp) switch off, whatever the configuration
//     says, see [Wanted] and [PushWanted];
//   - OTEL_EXPORTER_OTLP_ENDPOINT and _PROTOCOL (grpc, http/protobuf or, which
//     only spans understand, http/json), where the configuration does not say;
//   - OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT, _COMPRESSION, _CERTIFICATE,
//     _CLIENT_CERTIFICATE and _CLIENT_KEY; all of OTEL_EXPORTER_OTLP_ also for
//     one signal, as OTEL_EXPORTER_OTLP_TRACES_ or OTEL_EXPORTER_OTLP_METRICS_.
//     Whether the connection is encrypted depends on the endpoint alone, https
//     or http, so _INSECURE has no effect;
//   - OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_SCHEDULE_DELAY,
//     OTEL_BSP_MAX_EXPORT_BATCH_SIZE and OTEL_BSP_EXPORT_TIMEOUT, for spans. The
//     last one bounds for how long the exporter tries to send the same spans;
//   - OTEL_METRIC_EXPORT_TIMEOUT, for metrics. Their interval is configured;
//   - OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES;
//   - OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT and the other limits of a span.
//
// OTEL_TRACES_SAMPLER is not: the decision is the configuration's. Nor are
// OTEL_PROPAGATORS (there is one convention for trace context in Data) and
// OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE (counters of Prometheus are
// cumulative).
//
// # What describes this process
//
// The resource of spans and metrics is made of what the pod's specification
// passes on by the downward API: POD_NAME, POD_NAMESPACE, POD_UID, NODE_NAME,
// CONTAINER_NAME and WORKLOAD_NAME. The service is named by OTEL_SERVICE_NAME,
// else by OTEL_RESOURCE_ATTRIBUTES, else by WORKLOAD_NAME, else by what POD_NAME
// tells of its owner, else foo-sidecar.
//
// # Errors of the SDK
//
// The SDK hands errors that nobody else takes to a handler of the process. The
// package takes all that can occur again and again before they get there, and
// sets nothing that belongs to the process, with one exception that is to be
// asked for: [RouteSDKErrors].
package otlp
