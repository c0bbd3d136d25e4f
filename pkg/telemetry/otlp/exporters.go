package otlp

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// reconnect bounds how long gRPC waits before it tries to connect again. Left
// alone it would, after a long absence of the collector, wait for two minutes.
var reconnect = grpc.WithConnectParams(grpc.ConnectParams{
	Backoff: backoff.Config{
		BaseDelay:  backoff.DefaultConfig.BaseDelay,
		Multiplier: backoff.DefaultConfig.Multiplier,
		Jitter:     backoff.DefaultConfig.Jitter,
		MaxDelay:   5 * time.Second,
	},
	MinConnectTimeout: 5 * time.Second,
})

// newSpanExporter returns the SDK's exporter of spans. It connects when it is
// used.
func newSpanExporter(ctx context.Context, t target) (sdktrace.SpanExporter, error) {
	if t.grpc {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(t.url), otlptracegrpc.WithDialOption(reconnect))
	}
	return otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(t.url))
}

// newMetricExporter is newSpanExporter for metrics.
func newMetricExporter(ctx context.Context, t target) (sdkmetric.Exporter, error) {
	if t.grpc {
		return otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(t.url), otlpmetricgrpc.WithDialOption(reconnect))
	}
	return otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(t.url))
}
