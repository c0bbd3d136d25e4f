package telemetry

import (
	"bytes"
	"io"
	"sync/atomic"
	"time"
)

// outletLines is how many writes an Outlet holds back for a slow reader.
const outletLines = 1024

// Outlet writes to something that may block, such as a pipe that nobody reads,
// without ever blocking itself: what does not fit into its queue is dropped and
// counted. Logging must stop neither traffic nor the shutdown. Use [NewOutlet].
// It is safe for concurrent use.
type Outlet struct {
	queue   chan []byte
	closing chan struct{}
	done    chan struct{}
	dropped atomic.Int64
}

// NewOutlet returns an Outlet that writes to w, one write for each of its own.
// It has a goroutine until it is closed.
func NewOutlet(w io.Writer) *Outlet {
	o := &Outlet{
		queue:   make(chan []byte, outletLines),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	go o.run(w)
	return o
}

func (o *Outlet) run(w io.Writer) {
	defer close(o.done)
	write := func(p []byte) {
		if _, err := w.Write(p); err != nil {
			o.dropped.Add(1)
		}
	}
	for {
		select {
		case p := <-o.queue:
			write(p)
		case <-o.closing:
			for {
				select {
				case p := <-o.queue:
					write(p)
				default:
					return
				}
			}
		}
	}
}

// Write implements io.Writer. It never fails.
func (o *Outlet) Write(p []byte) (int, error) {
	select {
	case o.queue <- bytes.Clone(p):
	default:
		o.dropped.Add(1)
	}
	return len(p), nil
}

// Dropped returns how many writes were dropped or failed.
func (o *Outlet) Dropped() int64 { return o.dropped.Load() }

// Close writes what is queued, for at most the given time, and ends the Outlet.
// If w still blocks then, its goroutine is left behind with it. Nothing may be
// written after.
func (o *Outlet) Close(patience time.Duration) {
	close(o.closing)
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-o.done:
	case <-limit.C:
	}
}
