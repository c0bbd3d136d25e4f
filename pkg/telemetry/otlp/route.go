package otlp

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"

	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// RouteSDKErrors makes the SDK log to log what it would otherwise print to
// standard error in a format of its own: malformed values of OTEL_ variables,
// mostly. It sets what belongs to the process, so it is for whoever makes the
// process, once, before the first [Tracer] or [Pusher].
func RouteSDKErrors(log logr.Logger) {
	otel.SetLogger(log)
	limited := telemetry.NewLimited(log, time.Minute)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if !errors.Is(err, context.Canceled) { // by the end of what was being done
			limited.Error("sdk", err, "OpenTelemetry reports an error")
		}
	}))
}
