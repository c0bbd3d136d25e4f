package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/remote"
	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/terminal"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

// aboutAddress is the part of the help that the commands for people share.
var aboutAddress = `ADDRESS is where a sidecar serves its admin port: host:port, a URL that /stats
is below, or unix:/path. Without one it is what the sidecar's own variables say,
` + strings.Join(remote.Variables(), " or ") + `, as in its container,
or else port 8088 of this machine.`

func newStats() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats [ADDRESS]",
		Short: "Print the statistics of a sidecar that runs",
		Long: `stats prints the statistics of a sidecar as one line of JSON: the same that the
signal USR2 makes the sidecar print, but here, and not in its container's log.
"sidecar top --once" shows the most of it to people.

` + aboutAddress + `

Exit code: 0 if the statistics were printed, 1 if the sidecar can't be reached,
2 if the command line is wrong.`,
		Example: `  sidecar stats
  sidecar stats 10.0.0.7:8088 | jq .request_rate_10s
  kubectl exec POD -c foo-sidecar -- sidecar stats`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withSidecar(cmd, args, func(ctx context.Context, client *remote.Client) error {
				line, err := client.Stats(ctx)
				if err != nil {
					return err
				}
				if _, err := cmd.OutOrStdout().Write(terminal.SafeJSON(line)); err != nil {
					return fmt.Errorf("print the statistics: %w", err)
				}
				return nil
			})
		},
	}
	cmd.Flags().Bool("json", false, "print JSON, as it does anyhow")
	return cmd
}

// withSidecar calls ask with a client of the sidecar that a command was given, if
// it may be given one, until it returns or a signal ends it.
func withSidecar(cmd *cobra.Command, args []string, ask func(context.Context, *remote.Client) error) error {
	addresses, err := addressesOf(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), endSignals...)
	defer stop()
	client := remote.New(addresses[0])
	defer client.Close()
	return ask(ctx, client)
}

// addressesOf returns the addresses that a command was given, or the one that is
// meant if there are none.
func addressesOf(args []string) ([]remote.Address, error) {
	if len(args) == 0 {
		address, err := remote.DefaultAddress(os.Getenv)
		if err != nil {
			return nil, cli.Usagef("%w", err)
		}
		return []remote.Address{address}, nil
	}
	addresses := make([]remote.Address, len(args))
	for i, arg := range args {
		var err error
		if addresses[i], err = remote.ParseAddress(arg); err != nil {
			return nil, cli.Usagef("%w", err)
		}
	}
	return addresses, nil
}
