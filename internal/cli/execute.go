package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// The exit codes of every binary. A command may add its own from 3 on, see
// [ExitError].
const (
	CodeOK      = 0
	CodeFailure = 1 // the command ran and failed
	CodeUsage   = 2 // the command line was wrong, nothing was done
)

// ExitError is an error that chooses the exit code.
type ExitError struct {
	Code int
	// Err is printed. Nil prints nothing: the command has said all there is.
	Err error
}

// Error implements error.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the error that is printed.
func (e *ExitError) Unwrap() error { return e.Err }

// Usagef makes an error of a command line that parsed but makes no sense.
func Usagef(format string, args ...any) error {
	return &ExitError{Code: CodeUsage, Err: fmt.Errorf(format, args...)}
}

// Execute runs the command of root's tree that args name and returns the exit
// code for the process. Errors are printed to stderr, where the command line
// was wrong with a hint to the help. Commands find ctx with cmd.Context, and
// the writers with cmd.OutOrStdout and cmd.ErrOrStderr.
//
// Each long flag of the tree may be written with a single dash.
func Execute(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(doubleDashes(root, args))

	running := false
	walk(root, func(c *cobra.Command) {
		if run := c.RunE; run != nil {
			c.RunE = func(cmd *cobra.Command, args []string) error {
				running = true
				return run(cmd, args)
			}
		}
	})
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return CodeOK
	}
	exit, ok := errors.AsType[*ExitError](err)
	switch {
	case ok:
	case running:
		exit = &ExitError{Code: CodeFailure, Err: err}
	default: // cobra refused the command line
		exit = &ExitError{Code: CodeUsage, Err: err}
	}
	if exit.Err == nil {
		return exit.Code
	}
	_, _ = fmt.Fprintf(stderr, "%s: %v\n", root.Name(), err)
	if exit.Code == CodeUsage {
		_, _ = fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return exit.Code
}

// walk calls visit for every command of a tree.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		walk(sub, visit)
	}
}
