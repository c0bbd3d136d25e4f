package otlp

import (
	"encoding/hex"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// mend gives the exemplars of metrics the identities of traces and spans in
// OpenTelemetry's form. The bridge leaves them in the one of Prometheus,
// hexadecimal digits, and a collector refuses all the metrics because of a single
// one.
func mend(m *metricdata.ResourceMetrics) {
	for _, scope := range m.ScopeMetrics {
		for _, metric := range scope.Metrics {
			switch data := metric.Data.(type) {
			case metricdata.Sum[float64]:
				for _, point := range data.DataPoints {
					mendAll(point.Exemplars)
				}
			case metricdata.Histogram[float64]:
				for _, point := range data.DataPoints {
					mendAll(point.Exemplars)
				}
			}
		}
	}
}

func mendAll(exemplars []metricdata.Exemplar[float64]) {
	for i := range exemplars {
		x := &exemplars[i]
		x.TraceID, x.SpanID = fromHex(x.TraceID, 16), fromHex(x.SpanID, 8)
	}
}

// fromHex returns an identity of so many bytes, or none if the digits are no such.
func fromHex(digits []byte, size int) []byte {
	id, err := hex.DecodeString(string(digits))
	if err != nil || len(id) != size {
		return nil
	}
	return id
}
