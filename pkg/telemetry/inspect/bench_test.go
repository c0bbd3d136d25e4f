package inspect

import (
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// BenchmarkObserve compares batches of 64 pairs: what the recorder takes alone,
// what the inspector adds where nothing is wanted, and where everything is.
func BenchmarkObserve(b *testing.B) {
	recorder := telemetry.NewRegistry(telemetry.Options{}).Listener("default").Observer()
	inspector := New(options())
	inspector.Configure(Settings{Ratio: 0.01, PerSecond: 100, Tracer: new(fakeTracer)})
	inspected := inspector.Session("default", proxy.SessionInfo{ID: 1, Client: client}, recorder)
	ordinary := &proxy.Batch{At: time.Second, Latencies: make([]time.Duration, 64), Upstream: newConnection(0)}
	ordinary.Requests, ordinary.Positives, ordinary.Acked = 64, 64, 64
	failed := *ordinary
	for range 64 {
		failed.Pairs = append(failed.Pairs, failure())
	}
	for _, bench := range []struct {
		name     string
		observer proxy.Observer
		batch    *proxy.Batch
	}{
		{"recorder alone", recorder, ordinary},
		{"nothing wanted", inspected, ordinary},
		{"all pairs refused", inspected, &failed},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bench.batch.Interest = bench.observer.Interest()
				bench.observer.Observe(bench.batch)
			}
		})
	}
}
