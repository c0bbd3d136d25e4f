//go:build linux

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// watch does what those do who look at a sidecar, until it is told to stop: it
// scrapes the metrics each second and has the status page open.
func watch(ctx context.Context, admin string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { get(ctx, "http://"+admin+"/events") })
	watching.Go(func() {
		for pause(ctx, time.Second) == nil {
			get(ctx, "http://"+admin+"/metrics")
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

// get reads an answer to its end. What fails shows in the sidecar's own counts,
// and ctx ends it in the end.
func get(ctx context.Context, url string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	defer answer.Body.Close()        //nolint:errcheck // It was read to its end, or nobody wants it.
	io.Copy(io.Discard, answer.Body) //nolint:errcheck // See above.
}

// serveCollector serves what takes spans and does nothing with them, so that
// only the sidecar's part is measured.
func serveCollector() (address string, stop func(), err error) {
	socket, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It is ready at once.
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) //nolint:errcheck // The sidecar notices.
			w.Header().Set("Content-Type", "application/x-protobuf")
		}),
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(socket) }) // It ends when it is told to.
	return socket.Addr().String(), func() {
		server.Close() //nolint:errcheck // It is of no more use.
		serving.Wait()
	}, nil
}
