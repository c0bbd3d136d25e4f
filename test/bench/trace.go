//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

// Calls is how many system calls a subject makes for a pair, of whatever kind.
type Calls struct {
	Mode     string  `json:"mode"`
	Workload string  `json:"workload"`
	Subject  string  `json:"subject"`
	PerPair  float64 `json:"system_calls_per_pair"`
}

// traceAll counts the system calls of the subjects of a workload. They run so
// slowly meanwhile that nothing else can be measured.
func (b *bench) traceAll(ctx context.Context, mode string, s *stage, w workload, proxies []*proxy) error {
	if !b.strace || w.traced == 0 {
		return ctx.Err()
	}
	if find("strace") == "" {
		b.leaveOut("system calls", fmt.Errorf("strace is not installed (Debian: apt-get install strace); "+
			"what stands in their place are reads and writes, without recv and send"))
		return ctx.Err()
	}
	for _, p := range proxies {
		if len(p.processes) == 0 {
			continue
		}
		calls, err := s.callsPerPair(ctx, w, p)
		if err != nil {
			b.fail(ctx, mode, w, p.name+" under strace", err)
			continue
		}
		b.say("%s, %s, %s: %.3f system calls a pair", mode, w.name, p.name, calls)
		b.results.Calls = append(b.results.Calls, Calls{mode, w.name, p.name, calls})
	}
	return ctx.Err()
}

// callsPerPair counts with few requests and with many: the difference has no
// part of what it takes to connect, unless each request has a connection of its
// own.
func (s *stage) callsPerPair(ctx context.Context, w workload, p *proxy) (float64, error) {
	few, err := s.countCalls(ctx, w, p, w.connections)
	if err != nil {
		return 0, err
	}
	many, err := s.countCalls(ctx, w, p, w.connections+w.traced)
	return float64(many-few) / float64(w.traced), err
}

// countCalls counts the system calls that a proxy makes for so many requests.
func (s *stage) countCalls(ctx context.Context, w workload, p *proxy, requests int) (calls int64, err error) {
	dir, err := os.MkdirTemp(s.dir, "strace")
	if err != nil {
		return 0, err
	}
	file := filepath.Join(dir, "calls")
	args := []string{"-c", "-f", "-o", file}
	for _, pid := range p.processes {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	// It runs where the proxy does not, if it can: it has enough to wait for.
	tracer, err := s.programs.Start(ctx, find("strace"), args...)
	if err != nil {
		return 0, err
	}
	if err := p.awaitTracer(ctx, tracer); err != nil {
		tracer.Stop()
		return 0, err
	}
	client, stop, err := s.load(ctx, p.address, 0, append(w.shape(), "--requests", strconv.Itoa(requests), "--duration", slack.String()))
	if err == nil {
		var t taken
		err = t.await(client, w, p)
		stop()
	}
	if err == nil {
		err = pause(ctx, settle)
	}
	tracer.Stop() // Then it writes what it counted.
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return parseStrace(string(text))
}

// awaitTracer waits until all threads of the subject are traced.
func (p *proxy) awaitTracer(ctx context.Context, tracer *programs.Process) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		traced, err := p.traced()
		if err != nil || traced {
			return err
		}
		select {
		case <-tracer.Ended():
			return fmt.Errorf("strace has ended: %s", tracer.Stderr)
		case <-ctx.Done():
			return fmt.Errorf("strace does not begin: %w: %s", ctx.Err(), tracer.Stderr)
		case <-time.After(pollPeriod):
		}
	}
}

// traced reports whether all threads have a tracer.
func (p *proxy) traced() (bool, error) {
	for _, pid := range p.processes {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil {
			return false, err
		}
		for _, thread := range threads {
			text, err := os.ReadFile(thread)
			if err != nil {
				return false, err
			}
			tracer, err := field("TracerPid")(string(text))
			if err != nil || tracer == 0 {
				return false, err
			}
		}
	}
	return true, nil
}

// parseStrace adds up the column of the calls in what "strace -c" writes: share
// of the time, seconds, microseconds a call, calls, errors if any, name.
func parseStrace(text string) (total int64, err error) {
	for line := range strings.Lines(text) {
		columns := strings.Fields(line)
		if len(columns) < 5 || columns[len(columns)-1] == "total" {
			continue
		}
		if _, err := strconv.ParseFloat(columns[0], 64); err != nil {
			continue // A heading, or a line below it.
		}
		n, err := strconv.ParseInt(columns[3], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("strace wrote %q: %w", line, err)
		}
		total += n
	}
	if total == 0 {
		return 0, fmt.Errorf("strace counted nothing: %q", text)
	}
	return total, nil
}
