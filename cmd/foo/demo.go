package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/demo"
	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

func newDemo() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use:   "demo --sidecar PATH [-- SIDECAR-ARGS...]",
		Short: "Show the sidecar at work",
		Long: `demo starts a Foo server, the sidecar in front of it, and a client that keeps
talking, and shows the sidecar's statistics as they change. SIGINT (Ctrl-C) and
SIGTERM end all of it, in order, and compare what client and sidecar counted.`,
		Example: `  foo demo --sidecar bin/sidecar
  foo demo --sidecar bin/sidecar -listen :9002 -- --config my.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return cli.Usagef("unexpected argument %q; what is meant for the sidecar stands behind --", args[0])
			}
			for flag, address := range map[string]string{"listen": o.Listen, "forward": o.Forward, "http": o.HTTP} {
				if err := wire.CheckAddress(address); err != nil {
					return cli.Usagef("--%s: %w", flag, err)
				}
			}
			o.Args = args
			o.Foo = os.Args[0]
			o.Stdout = cmd.OutOrStdout()
			o.Terminal = isTerminal(o.Stdout)
			ctx := cmd.Context()
			if !signal.Ignored(syscall.SIGHUP) { // a terminal that is closed ends the sidecar, too
				var stop context.CancelFunc
				ctx, stop = signal.NotifyContext(ctx, syscall.SIGHUP)
				defer stop()
			}
			return demo.Run(ctx, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Sidecar, "sidecar", "", "`path` of the sidecar's binary")
	f.StringVar(&o.Listen, "listen", ":8002", "`address` where the sidecar accepts clients")
	f.StringVar(&o.Forward, "forward", ":8001", "`address` of the server, to which the sidecar forwards")
	f.StringVar(&o.HTTP, "http", "0.0.0.0:8088", "`address` of the sidecar's statistics and probes")
	f.StringVar(&o.RecoveryPath, "recovery-path", ".data/recovery.json", "`file` of the sidecar's checkpoint")
	f.StringVar(&o.PIDFile, "pid-file", ".data/sidecar.pid", "`file` for the sidecar's process id while it runs")
	f.StringVar(&o.LogFile, "log-file", ".data/sidecar.log", "`file` for the sidecar's log")
	f.DurationVar(&o.Duration, "duration", 0, "`time` after which the demo ends by itself; 0 is never")
	_ = cmd.MarkFlagRequired("sidecar") // there is such a flag
	return cmd
}
