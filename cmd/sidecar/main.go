package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// run is the whole process. The name by which it was called, args[0], chooses
// between the sidecar and the kill command.
func run(args []string, stdout, stderr io.Writer) int {
	name := strings.TrimSuffix(filepath.Base(args[0]), ".exe")
	if name == "kill" {
		return runKill(args[1:], stdout, stderr)
	}
	return cli.Execute(context.Background(), newRoot(), args[1:], stdout, stderr)
}

// newRoot returns the command tree. Without a subcommand the sidecar runs.
func newRoot() *cobra.Command {
	root := newServe()
	root.AddCommand(newStats(), newTop(), newTap(), newCheck(), newSchema(), cli.VersionCommand())
	return root
}
