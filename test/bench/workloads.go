//go:build linux

package main

import (
	"fmt"
	"strconv"
	"time"
)

// A workload is what the load does.
type workload struct {
	name, about                 string
	connections, pipeline, size int
	// rate makes it an open loop with so many requests a second.
	rate float64
	// churn closes each connection after one request.
	churn bool
	// idle opens the connections and leaves them alone.
	idle bool
	// traced is how many requests it takes to count system calls; zero counts
	// none.
	traced int
	// rounds is the most that make sense; zero is as many as there are.
	rounds int
}

const (
	small = 32 // bytes of Data
	// openRate is what all open loops send in a second.
	openRate = 20_000
	// churnRate bounds the connections that are opened in a second. Each leaves
	// a port behind that may be used again a second later, and there are 28,000.
	churnRate = 20_000
)

var workloads = []workload{
	{name: "W1", about: "1 connection, ping-pong, 32 B", connections: 1, pipeline: 1, size: small, traced: 2_000},
	{name: "W2", about: "64 connections, not pipelined, 32 B", connections: 64, pipeline: 1, size: small, traced: 5_000},
	{name: "W3", about: "64 connections, pipeline 64, 32 B", connections: 64, pipeline: 64, size: small, traced: 50_000},
	{name: "W4", about: "8 connections, pipeline 256, 32 B", connections: 8, pipeline: 256, size: small, traced: 50_000},
	{name: "W5", about: "64 connections, pipeline 16, 1 KiB", connections: 64, pipeline: 16, size: 1 << 10, traced: 20_000},
	{name: "W6", about: "4 connections, pipeline 8, 64 KiB", connections: 4, pipeline: 8, size: 64 << 10, traced: 1_000},
	{
		name: "W7", about: "churn: 16 at a time connect, send one request and close",
		connections: 16, pipeline: 1, size: small, churn: true, traced: 1_000,
	},
	{name: "W8", about: "memory of 5,000 connections that are idle after one request", connections: 5_000, idle: true, rounds: 3},
	{name: "W9", about: "open loop: 64 connections, 20,000 requests/s", connections: 64, pipeline: 1024, size: small, rate: openRate},
	active(100), active(1_000), active(5_000), active(10_000),
}

// active is the open loop of W9 over another number of connections. The pipeline
// is short because the load has to keep room for all of it.
func active(connections int) workload {
	return workload{
		name:        fmt.Sprintf("W10-%d", connections),
		about:       fmt.Sprintf("open loop: %s connections, 20,000 requests/s", grouped(float64(connections))),
		connections: connections, pipeline: 16, size: small, rate: openRate, rounds: 3,
	}
}

// turns returns how many rounds there are, if so many are wanted.
func (w workload) turns(wanted int) int {
	if w.rounds > 0 {
		return min(w.rounds, wanted)
	}
	return wanted
}

// turn returns how long a turn takes. The start of an open loop weighs on its
// percentiles, so it runs for longer.
func (w workload) turn(slice time.Duration) time.Duration {
	if w.rate > 0 {
		return 3 * slice
	}
	return slice
}

// load returns the flags of "foo load" for a turn of some time.
func (w workload) load(d time.Duration) []string {
	args := append(w.shape(), "--duration", d.String())
	switch {
	case w.rate > 0:
		// What it could not send by then it never will, at that rate.
		args = append(args, "--rate", strconv.FormatFloat(w.rate, 'f', -1, 64), "--grace", "1s")
	case w.churn:
		args = append(args, "--requests", strconv.Itoa(max(1, int(churnRate*d.Seconds()))))
	}
	return args
}

// shape returns the flags of "foo load" without those that say how long.
func (w workload) shape() []string {
	args := []string{
		"--connections", strconv.Itoa(w.connections), "--pipeline", strconv.Itoa(w.pipeline), "--size", strconv.Itoa(w.size),
		"--connect-timeout", "30s",
	}
	if w.churn {
		args = append(args, "--requests-per-connection", "1")
	}
	return args
}
