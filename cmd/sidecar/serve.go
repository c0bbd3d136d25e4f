package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/foo-protocol/foo-sidecar/config"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
	"github.com/foo-protocol/foo-sidecar/pkg/sidecar"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry/otlp"
)

// codeForced is the exit code after a second signal to end.
const codeForced = 3

// flushTime bounds how long the last lines may take to be read at the end.
const flushTime = 500 * time.Millisecond

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sidecar",
		Short: "Proxy and observe the Foo protocol beside an application",
		Long: `The Foo sidecar accepts Foo connections, forwards them to an upstream and counts
everything that passes. Without a configuration file it forwards from :8002 to
:8001 and answers HTTP on 0.0.0.0:8088.

Signals:
  USR2        print the statistics as one line of JSON on standard output
  HUP         reload the configuration
  TERM, INT   drain: answer what is outstanding, then end; a second one ends at once

Exit codes:
  0  ended after draining
  1  could not start, or could not go on
  2  the command line or the configuration is invalid
  3  ended at once by a second signal`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), config.Options{Flags: cmd.Flags()}, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	config.BindFlags(cmd.Flags())
	return cmd
}

// serve runs the sidecar until a signal ends it.
func serve(ctx context.Context, o config.Options, stdout, stderr io.Writer) error {
	// Nobody has to read what the sidecar writes.
	out, logs := telemetry.NewOutlet(stdout), telemetry.NewOutlet(stderr)
	defer out.Close(flushTime)
	defer logs.Close(flushTime)
	log, err := telemetry.NewLogger(telemetry.LogOptions{Writer: logs})
	if err != nil {
		return err
	}
	otlp.RouteSDKErrors(log.WithName("otlp"))
	s := listen()
	defer s.stop()
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	ended := make(chan error, 1)
	go func() {
		ended <- sidecar.Run(ctx, sidecar.Options{
			Config: o, Version: cli.Version(), Log: log, Stdout: out, Report: s.report, Reload: s.reload,
		})
	}()
	select {
	case err = <-ended:
		return exitError(err, stderr)
	case sig := <-s.end:
		drain()
		log.Info("signal received, draining; another one ends at once", "signal", sig.String())
	}
	select {
	case err = <-ended:
		return exitError(err, stderr)
	case sig := <-s.end:
		// The process ends with its main function, whatever still runs.
		log.Info("second signal received, ending at once", "signal", sig.String())
		return &cli.ExitError{Code: codeForced}
	}
}

// exitError gives an invalid configuration its exit code. What is wrong is
// printed as it is, one line a problem, for people and editors.
func exitError(err error, stderr io.Writer) error {
	if _, invalid := errors.AsType[*config.InvalidError](err); !invalid {
		return err
	}
	fmt.Fprintln(stderr, err)
	return &cli.ExitError{Code: cli.CodeUsage}
}

// signals are the signals that the process handles.
type signals struct {
	end            <-chan os.Signal
	report, reload <-chan struct{}
	stop           func()
}
