package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/server"
	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

func newServe() *cobra.Command {
	var (
		o           server.Options
		listen      string
		statsOnExit bool
	)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer requests",
		Long: `serve answers each REQ with an ACK, or a NAK if so told, that carries the
request's Data. A line that it can't decode is answered "NAK 0 ERRDECODE".

When it is ready it prints "listening on ADDRESS" to standard error. SIGINT and
SIGTERM stop it: it accepts no more connections, answers what it has read and
ends. A second signal ends it at once.`,
		Example: `  foo serve -listen :8001
  foo serve -listen unix:/run/foo.sock -nak 0.05 -delay 20ms -delay-spread 10ms -out-of-order`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := wire.CheckAddress(listen); err != nil {
				return cli.Usagef("--listen: %w", err)
			}
			if err := o.Validate(); err != nil {
				return cli.Usagef("%w", err)
			}
			l, err := wire.Listen(cmd.Context(), listen)
			if err != nil {
				return err // says what and where
			}
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "listening on %s\n", wire.Address(l))
			s := server.New(o)
			err = s.Serve(cmd.Context(), l)
			if !statsOnExit {
				return err
			}
			stats := s.Stats()
			if printErr := json.NewEncoder(cmd.OutOrStdout()).Encode(stats); printErr != nil && err == nil {
				return fmt.Errorf("print statistics: %w", printErr)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", ":8001", "`address` to listen on; port 0 takes any that is free")
	f.Float64Var(&o.NAK, "nak", 0, "`share` of the requests that is answered with a NAK, 0 to 1")
	f.DurationVar(&o.Delay, "delay", 0, "`time` from a request to its answer")
	f.DurationVar(&o.DelaySpread, "delay-spread", 0, "`time` by which the delay varies, more or less, evenly distributed")
	f.BoolVar(&o.OutOfOrder, "out-of-order", false, "answer any of a connection's outstanding requests when an answer is due")
	f.IntVar(&o.ResponseSize, "response-size", 0,
		"`bytes` of Data in an answer: the request's, cut or padded; 0 echoes it as it is.\nfoo load recognises an answer by up to 24 bytes")
	f.IntVar(&o.MaxLine, "max-line", server.DefaultMaxLine, "longest line in `bytes`; a longer one can't be decoded")
	f.Uint64Var(&o.Seed, "seed", 0, "`number` that NAKs, delays and order are drawn from, per connection")
	f.BoolVar(&statsOnExit, "stats-on-exit", false, "print what was counted to standard output at the end, as one line of JSON")
	return cmd
}
