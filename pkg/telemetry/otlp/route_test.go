package otlp

import (
	"context"
	"errors"
	"testing"

	"go.opentelemetry.io/otel"
)

func TestErrorsOfTheSDKAreLogged(t *testing.T) {
	log := new(logbook)
	RouteSDKErrors(log.logger())
	otel.Handle(context.Canceled)
	for range 3 {
		otel.Handle(errors.New("something is wrong"))
	}
	log.expect(t, "OpenTelemetry reports an error")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
	if _, err := newSpanExporter(t.Context(), target{url: "http://localhost:1"}); err != nil {
		t.Error(err)
	}
	log.expect(t, "OpenTelemetry reports an error", "parse duration")
}
