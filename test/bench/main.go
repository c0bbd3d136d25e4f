//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // Nothing is left to undo.
	}
}

// A workload is what foo load is told.
type workload struct {
	Name                  string
	Connections, Pipeline int
}

// The pipelined workloads: here the sidecar's own work shows most, because a
// system call moves many messages.
var workloads = []workload{
	{"64 connections, pipeline 64", 64, 64},
	{"8 connections, pipeline 256", 8, 256},
}

// Result is one measurement.
type Result struct {
	Workload string  `json:"workload"`
	Round    int     `json:"round"`
	Subject  string  `json:"subject"`
	Pairs    int64   `json:"pairs"`
	CPU      float64 `json:"cpu_microseconds_per_pair"`
	Rate     float64 `json:"pairs_per_second"`
}

// options are the flags.
type options struct {
	rounds   int
	duration time.Duration
	spread   bool
	json     bool
}

func run(ctx context.Context) error {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often each subject is measured with each workload")
	flag.DurationVar(&o.duration, "duration", 3*time.Second, "how long one measurement takes")
	flag.BoolVar(&o.spread, "spread", false, "let the system place the processes on all processors")
	flag.BoolVar(&o.json, "json", false, "print each measurement as a line of JSON")
	flag.Parse()
	dir, err := os.MkdirTemp("", "foo-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // What is left is in the directory for temporary files.
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir+"/", "./cmd/sidecar", "./cmd/foo")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the programs, from the root of the repository: %w", err)
	}
	if !o.spread {
		if err := pin(); err != nil {
			return err
		}
	}
	results, err := measureAll(ctx, dir, o)
	if err != nil {
		return err
	}
	if o.json {
		e := json.NewEncoder(os.Stdout)
		for _, r := range results {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	return printTable(os.Stdout, results, o)
}

// measureAll lets the subjects take turns with each workload.
func measureAll(ctx context.Context, dir string, o options) (results []Result, err error) {
	for _, w := range workloads {
		for round := 1; round <= o.rounds; round++ {
			order := subjects
			if round%2 == 0 { // neither is always the first
				order = slices.Clone(subjects)
				slices.Reverse(order)
			}
			for _, s := range order {
				r, err := measure(ctx, filepath.Join(dir, fmt.Sprintf("%d-%s", len(results), s.name)), dir, s, w, o)
				if err != nil {
					return nil, fmt.Errorf("%s, %s, round %d: %w", s.name, w.Name, round, err)
				}
				r.Round = round
				results = append(results, r)
				fmt.Fprintf(os.Stderr, "%s, round %d, %s: %.4f us of processor time a pair\n", w.Name, round, s.name, r.CPU)
			}
		}
	}
	return results, nil
}

// printTable prints the medians, and the median of the ratios within a round.
func printTable(out io.Writer, results []Result, o options) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "workload\tquiet us/pair\twatched us/pair\tratio\tworst ratio\tpairs/s quiet\tpairs/s watched")
	for _, w := range workloads {
		var ratios []float64
		cpu, rate := make(map[string][]float64), make(map[string][]float64)
		for round := 1; round <= o.rounds; round++ {
			of := make(map[string]Result)
			for _, r := range results {
				if r.Workload == w.Name && r.Round == round {
					of[r.Subject] = r
					cpu[r.Subject] = append(cpu[r.Subject], r.CPU)
					rate[r.Subject] = append(rate[r.Subject], r.Rate)
				}
			}
			ratios = append(ratios, of["watched"].CPU/of["quiet"].CPU)
		}
		fmt.Fprintf(t, "%s\t%.4f\t%.4f\t%.3f\t%.3f\t%.0f\t%.0f\n", w.Name, median(cpu["quiet"]), median(cpu["watched"]),
			median(ratios), slices.Max(ratios), median(rate["quiet"]), median(rate["watched"]))
	}
	return t.Flush()
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}
