package otlp

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestSpansAndMetricsArePostedToTheirPaths(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret")
	posted := make(chan string, 2)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		posted <- r.URL.Path + " " + r.Header.Get("Authorization")
	}))
	defer server.Close()

	o := Options{Endpoint: server.URL + "/base"}
	tr, err := NewTracer(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p, r := acked()
	tr.Pair(p, r, began, ended, nil)
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got, want := <-posted, "/base/v1/traces Bearer secret"; got != want {
		t.Errorf("posted to %q, want %q", got, want)
	}

	pusher, err := NewPusher(t.Context(), o, prometheus.NewPedanticRegistry(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := pusher.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got, want := <-posted, "/base/v1/metrics Bearer secret"; got != want {
		t.Errorf("posted to %q, want %q", got, want)
	}
}

// TestShutdownDoesNotWaitForASilentCollector has one that accepts connections
// and nothing else.
func TestShutdownDoesNotWaitForASilentCollector(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			log := new(logbook)
			o := Options{Endpoint: "http://" + silent.Addr().String(), Protocol: protocol, Log: log.logger()}
			tr, err := NewTracer(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			pusher, err := NewPusher(t.Context(), o, prometheus.NewPedanticRegistry(), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			p, r := acked()
			tr.Pair(p, r, began, ended, nil)

			const budget, slack = 100 * time.Millisecond, 2 * time.Second
			for _, shutdown := range []func(context.Context) error{tr.Shutdown, pusher.Shutdown} {
				ctx, cancel := context.WithTimeout(t.Context(), budget)
				start := time.Now()
				if err := shutdown(ctx); err == nil || time.Since(start) > slack {
					t.Errorf("it returned %v after %v, want an error after %v", err, time.Since(start), budget)
				}
				cancel()
			}
			if got := tr.Stats(); got != (Stats{DroppedExport: 1}) {
				t.Errorf("counted %+v, want one that was dropped", got)
			}
		})
	}
}

func TestMalformedEndpointIsAnError(t *testing.T) {
	o := Options{Endpoint: "collector"}
	_, err := NewTracer(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "http://collector:4317") {
		t.Errorf("got %v", err)
	}
	if _, err := NewPusher(t.Context(), o, prometheus.NewPedanticRegistry(), time.Hour); err == nil {
		t.Error("metrics go nowhere")
	}
}
