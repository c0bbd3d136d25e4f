package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	dialsAtOnce    = 64                    // more would overrun the backlog of some listeners
	reconnectPause = 50 * time.Millisecond // before a connection is replaced
	progressPeriod = time.Second
)

// Run sends requests as the options say, which have to be valid, and waits for
// their answers. It ends early, but in good order, when ctx ends. The error is
// that no connection could be opened; all else is in the result.
func Run(ctx context.Context, o Options) (*Result, error) {
	r := &run{opts: o}
	r.connectionID.Store(rand.Uint32()) //nolint:gosec // tells runs apart, keeps no secret
	for i, q := range quotas(o) {
		r.workers = append(r.workers, &worker{
			run:      r,
			quota:    q,
			schedule: schedule{rate: o.Rate, worker: int64(i), of: int64(o.Connections)},
			texts:    texts{},
		})
	}
	conns := r.connect(ctx)
	if err := r.failure(); err != nil && !o.Reconnect && r.counts().Opened == 0 {
		return r.result(ctx), fmt.Errorf("open %d connections: %w", o.Connections, err)
	}

	r.start = time.Now()
	sending, cancel := ctx, context.CancelFunc(func() {})
	if d := o.sendingTime(); d > 0 {
		sending, cancel = context.WithTimeout(ctx, d)
	}
	defer cancel()
	done := make(chan struct{})
	var reporter, workers sync.WaitGroup
	reporter.Go(func() { r.report(done) })
	for i, w := range r.workers {
		workers.Go(func() { w.work(sending, conns[i]) })
	}
	workers.Wait()
	close(done)
	reporter.Wait()
	return r.result(ctx), nil
}

// run is one call of Run.
type run struct {
	opts         Options
	workers      []*worker
	start        time.Time
	connectionID atomic.Uint32 // of the connection opened last

	mu           sync.Mutex // guards connectError
	connectError error
}

// now returns the time since the run began.
func (r *run) now() time.Duration { return time.Since(r.start) }

// connect opens the connection of every worker, nil where it fails.
func (r *run) connect(ctx context.Context) []net.Conn {
	conns := make([]net.Conn, len(r.workers))
	var g errgroup.Group
	g.SetLimit(dialsAtOnce)
	for i, w := range r.workers {
		g.Go(func() error {
			conns[i] = w.dial(ctx)
			return nil
		})
	}
	_ = g.Wait()
	return conns
}

// failure returns the first failure to connect.
func (r *run) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connectError
}

func (r *run) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.connectError == nil {
		r.connectError = err
	}
}

// counts returns the sum of what the workers counted so far.
func (r *run) counts() (sum Counts) {
	for _, w := range r.workers {
		w.mu.Lock()
		sum.add(w.counts)
		w.mu.Unlock()
	}
	return sum
}

// report tells the progress until done is closed.
func (r *run) report(done <-chan struct{}) {
	if r.opts.Progress == nil {
		return
	}
	tick := time.NewTicker(progressPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.opts.Progress(Progress{Elapsed: r.now(), Counts: r.counts()})
		case <-done:
			return
		}
	}
}

// result adds up what the workers, which have ended, counted.
func (r *run) result(ctx context.Context) *Result {
	result := &Result{Counts: r.counts(), NAKTexts: map[string]int64{}, ConnectError: r.failure()}
	for _, w := range r.workers {
		w.texts.addTo(result.NAKTexts)
		result.Latency.Add(&w.latency)
		result.Elapsed = max(result.Elapsed, w.lastAnswer)
		result.Overslept = max(result.Overslept, w.overslept)
	}
	keepFrequent(result.NAKTexts)
	if planned, ok := r.opts.planned(); ok && ctx.Err() == nil {
		result.NotSent = planned - result.Sent
	}
	return result
}

// dial opens a connection and counts it. It returns nil if that fails.
func (w *worker) dial(ctx context.Context) net.Conn {
	// A dialer that knew the deadline of ctx would fail a moment before ctx says
	// that it has ended, and that would count as a failure.
	dialing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	if d := w.run.opts.ConnectTimeout; d > 0 {
		var stop context.CancelFunc
		dialing, stop = context.WithTimeoutCause(dialing, d, fmt.Errorf("no connection within %v", d))
		defer stop()
	}
	conn, err := w.run.opts.Dial(dialing)
	if ctx.Err() != nil { // the run was interrupted: neither a failure nor of use
		if err == nil {
			_ = conn.Close()
		}
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if dialing.Err() != nil {
			err = errors.Join(err, context.Cause(dialing))
		}
		w.counts.Failed++
		w.run.failed(err)
		return nil
	}
	w.counts.Opened++
	return conn
}
