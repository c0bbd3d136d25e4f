package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	return cli.Execute(ctx, newRoot(), args, stdout, stderr)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:     "foo",
		Short:   "Test driver for the Foo protocol",
		Version: cli.Version(),
		Long: `foo speaks the Foo protocol: as a server, as a client, under load, and in a
demonstration of the sidecar. Flags may be written with one dash or two. An
address is host:port, where an empty host is this machine, or unix:/path.`,
	}
	root.AddCommand(newServe(), newCall(), newLoad(), newDemo(), cli.VersionCommand())
	return root
}

// isTerminal reports whether f is a terminal, or another device that neither
// holds nor keeps anything, such as /dev/null.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
