package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/load"
	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

// defaultDuration is how long a load lasts if it is told neither a duration
// nor a number of requests.
const defaultDuration = 10 * time.Second

// loadFlags are the flags of foo load that are no options of package load.
type loadFlags struct {
	connect   string
	asJSON    bool
	progress  bool
	failOnNAK bool
}

func newLoad() *cobra.Command {
	var (
		o     load.Options
		flags loadFlags
	)
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Send many requests, verify and measure the answers",
		Long: `load sends requests, checks that each is answered by its own answer, and prints
counts, throughput and percentiles of latency.

Without --rate it is a closed loop: a request follows an answer, and latency
counts from the time of sending. A server that stalls is then sent less, which
hides the stall. With --rate it is an open loop: requests have their times,
whatever the answers do, and latency counts from the time at which a request
was to be sent, so a stall shows in every request that it held up.

Data begins with a token, 24 bytes or as many as --size allows, that has to
come back at the beginning of an ACK's Data; with --size 0 only the Seq tells.
A NAK may carry any text but another request's token.

With --requests-per-connection, latency does not count the time to connect,
unless there is a --rate.

Exit code: 0 if every request was answered by its own answer, else 1. SIGINT
and SIGTERM end sending; the outstanding answers are still awaited.`,
		Example: `  foo load -connect localhost:8002 -connections 16 -pipeline 32 -duration 30s
  foo load -connect unix:/run/foo.sock -rate 5000 -json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Requests == 0 && !cmd.Flags().Changed("duration") {
				o.Duration = defaultDuration
			}
			if !cmd.Flags().Changed("progress") {
				flags.progress = isTerminal(cmd.ErrOrStderr())
			}
			return runLoad(cmd, o, flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.connect, "connect", defaultConnect, "`address` to connect to")
	f.IntVar(&o.Connections, "connections", 16, "`number` of connections")
	f.IntVar(&o.Pipeline, "pipeline", 1, "`number` of requests that a connection may have outstanding")
	f.IntVar(&o.RequestsPerConnection, "requests-per-connection", 0,
		"`number` of answered requests after which a connection is closed and replaced by a new one; 0 keeps it")
	f.IntVar(&o.Size, "size", 32, "`bytes` of Data in a request")
	f.Float64Var(&o.Rate, "rate", 0, "`number` of requests a second in all; 0 is as fast as answers come")
	f.DurationVar(&o.Duration, "duration", 0, "`time` during which requests are sent (default 10s, or no limit with --requests)")
	f.Int64Var(&o.Requests, "requests", 0, "`number` of requests to send in all, exactly; --duration is then the time limit")
	f.DurationVar(&o.ConnectTimeout, "connect-timeout", 5*time.Second, "`time` that opening a connection may take; 0 is any")
	f.BoolVar(&o.Reconnect, "reconnect", false, "replace connections that are lost or can't be opened")
	f.DurationVar(&o.Grace, "grace", 5*time.Second, "`time` to wait for the last answers")
	f.BoolVar(&flags.failOnNAK, "fail-on-nak", false, "exit with 1 if there was a NAK")
	f.BoolVar(&flags.asJSON, "json", false, "print the result as one line of JSON")
	f.BoolVar(&flags.progress, "progress", false, "print a line to standard error each second (default if that is a terminal)")
	return cmd
}

func runLoad(cmd *cobra.Command, o load.Options, flags loadFlags) error {
	if err := wire.CheckAddress(flags.connect); err != nil {
		return cli.Usagef("--connect: %w", err)
	}
	if err := o.Validate(); err != nil {
		return cli.Usagef("%w", err)
	}
	o.Dial = func(ctx context.Context) (net.Conn, error) { return wire.Dial(ctx, flags.connect) }
	if flags.progress {
		o.Progress = progressPrinter(cmd.ErrOrStderr())
	}
	result, err := load.Run(cmd.Context(), o)
	if err != nil {
		return err
	}
	r := newReport(o, result)
	printReport := r.print
	if flags.asJSON {
		printReport = r.printJSON
	}
	if err := printReport(cmd.OutOrStdout()); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return verdict(o, result, flags.failOnNAK)
}

// progressPrinter returns a function that prints a line about the progress.
func progressPrinter(w io.Writer) func(load.Progress) {
	var before load.Progress
	return func(p load.Progress) {
		answered := p.Sent - p.Outstanding()
		rate := float64(answered-before.Sent+before.Outstanding()) / (p.Elapsed - before.Elapsed).Seconds()
		before = p
		_, _ = fmt.Fprintf(w, "%4.0fs  %s requests/s  %d outstanding  %d NAK  %d wrong  %d unanswered\n",
			p.Elapsed.Seconds(), grouped(int64(rate)), p.Outstanding(), p.NAKs, p.Wrong, p.Unanswered)
	}
}

// verdict returns an error that says in what the result falls short.
func verdict(o load.Options, r *load.Result, failOnNAK bool) error {
	var faults []string
	fault := func(n int64, what string) {
		if n > 0 {
			faults = append(faults, fmt.Sprintf("%d %s", n, what))
		}
	}
	if r.Sent == 0 {
		faults = append(faults, "no request was sent")
	}
	fault(r.Wrong, "answered by the answer of another")
	fault(r.Unanswered, "unanswered")
	fault(r.NotSent, "not sent")
	fault(r.Unexpected, "unexpected answers")
	if failOnNAK {
		fault(r.NAKs, "answered with a NAK")
	}
	if !o.Reconnect {
		fault(r.Failed, "connections not opened")
		fault(r.Lost, "connections lost")
	}
	if len(faults) == 0 {
		return nil
	}
	if r.ConnectError != nil {
		faults = append(faults, r.ConnectError.Error())
	}
	return errors.New(strings.Join(faults, ", "))
}
