//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

const (
	// settle is how long a proxy may be busy with a turn after its last answer.
	settle = 100 * time.Millisecond
	// lead is how long an open loop runs before and after it is measured, at least.
	lead = 250 * time.Millisecond
	// slack is how much longer than planned a load may take, with all that it
	// takes to connect.
	slack = time.Minute
	// samplePeriod is how often memory is looked at during a turn.
	samplePeriod = 50 * time.Millisecond
)

// Latency is that of an open loop, in seconds. It counts from the time at which
// a request was to be sent.
type Latency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// Measurement is what one turn of a subject brought.
type Measurement struct {
	Mode     string  `json:"mode"`
	Workload string  `json:"workload"`
	Subject  string  `json:"subject"`
	Round    int     `json:"round"`
	Pairs    int64   `json:"pairs,omitempty"`
	Rate     float64 `json:"requests_per_second,omitempty"`
	// CPU is the processor time of the proxy for a request and its answer.
	CPU float64 `json:"cpu_microseconds_per_pair,omitempty"`
	// ReadsAndWrites are the proxy's calls of read, write and their kin, which
	// recv and send are not.
	ReadsAndWrites float64 `json:"reads_and_writes_per_pair,omitempty"`
	// Latency and SenderLate are of open loops. SenderLate is by how much at
	// most, in seconds, the load was late by its own fault.
	Latency    *Latency `json:"latency_seconds,omitempty"`
	SenderLate float64  `json:"sender_late_seconds,omitempty"`
	// Short says that an open loop could not send all that it was to send.
	Short bool    `json:"short,omitempty"`
	Peak  *Memory `json:"peak_bytes,omitempty"`
	Idle  *Idle   `json:"idle,omitempty"`
}

// errTooEarly is a turn that ended before it was measured, because this program
// had to wait for the processor for longer than the load had time to spare.
var errTooEarly = errors.New("the load ended too early")

// turn lets a subject have one turn.
func (s *stage) turn(ctx context.Context, w workload, p *proxy, slice time.Duration) (m Measurement, err error) {
	for spare := lead; spare <= 16*lead; spare *= 4 {
		if m, err = s.attempt(ctx, w, p, slice, spare); !errors.Is(err, errTooEarly) {
			break
		}
	}
	return m, err
}

// attempt is one attempt at a turn, of which an open loop has some time to spare
// before and after it is measured.
func (s *stage) attempt(ctx context.Context, w workload, p *proxy, slice, spare time.Duration) (m Measurement, err error) {
	m = Measurement{Workload: w.name, Subject: p.name}
	calls, err := p.readsAndWrites()
	if err != nil {
		return m, err
	}
	var t taken
	if w.rate > 0 {
		t, err = s.within(ctx, w, p, slice, spare)
	} else {
		t, err = s.whole(ctx, w, p, slice)
	}
	if err != nil {
		return m, err
	}
	m.Pairs, m.Rate = int64(t.pairs), t.pairs/t.took.Seconds()
	if w.rate > 0 {
		m.Latency, m.SenderLate, m.Short = &t.Latency, t.Overslept, t.Unanswered+t.NotSent > 0
	}
	if len(p.processes) == 0 { // There is no proxy.
		return m, nil
	}
	callsAfter, err := p.readsAndWrites()
	if err != nil {
		return m, err
	}
	resident, err := p.peak()
	m.CPU = float64(t.cpu.Nanoseconds()) / 1000 / t.pairs
	m.ReadsAndWrites = float64(callsAfter-calls) / float64(t.ACKs)
	m.Peak = &Memory{resident, t.private}
	return m, err
}

// taken is what a turn took.
type taken struct {
	loadReport
	pairs   float64       // that were answered
	took    time.Duration // for that
	cpu     time.Duration // of the proxy, for that
	private int64         // memory, at most
}

// whole measures all of a turn, so that the number of pairs is exact. What it
// takes to connect is part of it.
func (s *stage) whole(ctx context.Context, w workload, p *proxy, slice time.Duration) (t taken, err error) {
	before, err := p.cpuTime()
	if err != nil {
		return t, err
	}
	client, stop, err := s.load(ctx, p.address, slice, w.load(slice))
	if err != nil {
		return t, err
	}
	defer stop()
	if err := t.await(client, w, p); err != nil {
		return t, err
	}
	if err := pause(ctx, settle); err != nil {
		return t, err
	}
	after, err := p.cpuTime()
	t.cpu, t.pairs, t.took = after-before, float64(t.ACKs), time.Duration(t.DurationSeconds*float64(time.Second))
	return t, err
}

// within measures in the midst of a turn, when all connections are there: to
// open 10,000 of them takes longer than the turn. What the server wrote tells
// the number of pairs.
func (s *stage) within(ctx context.Context, w workload, p *proxy, slice, spare time.Duration) (t taken, err error) {
	client, stop, err := s.load(ctx, p.address, slice, w.load(spare+slice+spare))
	if err != nil {
		return t, err
	}
	defer stop()
	if err := s.awaitConnections(ctx, w.connections, client.Process); err != nil {
		return t, err
	}
	if err := pause(ctx, spare); err != nil {
		return t, err
	}
	before, err := s.look(p)
	if err != nil {
		return t, err
	}
	if err := pause(ctx, slice); err != nil {
		return t, err
	}
	after, err := s.look(p)
	if err != nil {
		return t, err
	}
	select {
	case <-client.Ended():
		return t, errTooEarly
	default:
	}
	if err := t.await(client, w, p); err != nil {
		return t, err
	}
	t.cpu, t.took = after.cpu-before.cpu, after.at.Sub(before.at)
	t.pairs = float64(after.written-before.written) * float64(t.ACKs) / float64(t.Bytes.Received)
	return t, pause(ctx, settle) // until the connections are gone
}

// state is how far proxy and server are at some time.
type state struct {
	at      time.Time
	cpu     time.Duration // of the proxy
	written int64         // bytes, by the server
}

// look returns the state.
func (s *stage) look(p *proxy) (now state, err error) {
	now.at = time.Now()
	if now.cpu, err = p.cpuTime(); err != nil {
		return now, err
	}
	now.written, err = s.server.written()
	return now, err
}

// awaitConnections waits until the server has so many connections.
func (s *stage) awaitConnections(ctx context.Context, want int, client *programs.Process) error {
	for {
		files, err := s.server.descriptors()
		have := files - s.files
		if err != nil || have >= want {
			return err
		}
		select {
		case <-client.Ended():
			return fmt.Errorf("the load ended when the server had %d of %d connections: %s", have, want, client.Stderr)
		case <-time.After(pollPeriod):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// load starts the load.
func (s *stage) load(ctx context.Context, address string, d time.Duration, args []string) (c *programs.Client, stop func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, d+slack)
	err = s.place.start(func() (err error) {
		c, err = s.programs.Load(ctx, address, args...)
		return err
	})
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return c, func() {
		cancel()
		c.Wait()
	}, nil
}

// await waits for the end of a load, and looks at the proxy's memory meanwhile.
func (t *taken) await(client *programs.Client, w workload, p *proxy) error {
	tick := time.NewTicker(samplePeriod)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-client.Ended():
			ended = true
		case <-tick.C:
		}
		m, err := p.memory()
		if err != nil {
			return err
		}
		t.private = max(t.private, m.Private)
	}
	return t.read(client, w)
}

// loadReport is the part of the report of "foo load" that is of interest.
type loadReport struct {
	ACKs, NAKs, Wrong, Unexpected int64
	Unanswered                    int64
	NotSent                       int64   `json:"not_sent"`
	DurationSeconds               float64 `json:"duration_seconds"`
	Bytes                         struct{ Received int64 }
	Latency                       Latency `json:"latency_seconds"`
	Overslept                     float64 `json:"overslept_seconds"`
	Connections                   struct{ Failed, Lost int64 }
}

// read reads the report of a load that has ended. That an open loop was slower
// than it should be is a result; what else goes wrong makes figures worthless.
func (r *loadReport) read(client *programs.Client, w workload) error {
	text := client.Stdout.String()
	if err := json.Unmarshal([]byte(text), r); err != nil {
		return fmt.Errorf("the load failed: %w: %s%s", err, text, client.Stderr)
	}
	faults := r.NAKs + r.Wrong + r.Unexpected + r.Connections.Failed + r.Connections.Lost
	if w.rate == 0 {
		faults += r.Unanswered
	}
	if faults > 0 || r.ACKs == 0 {
		return fmt.Errorf("the load is not content: %s", client.Stderr)
	}
	return nil
}
