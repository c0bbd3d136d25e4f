package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// tree is a command with two subcommands. What "run" would do is up to the test.
func tree(run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	root := &cobra.Command{Use: "prog"}
	sub := &cobra.Command{Use: "run", Args: cobra.MaximumNArgs(1), RunE: run}
	sub.Flags().String("listen", ":1", "")
	sub.Flags().StringP("data", "d", "", "")
	sub.Flags().BoolP("json", "j", false, "")
	sub.Flags().IntP("x", "x", 0, "")
	other := &cobra.Command{Use: "other", RunE: run}
	other.Flags().String("forward", "", "")
	root.PersistentFlags().BoolP("verbose", "v", false, "")
	root.AddCommand(sub, other, VersionCommand())
	return root
}

func TestExitCodeTellsWhatWentWrong(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   []string
		err    error
		want   int
		stderr string
	}{
		{name: "success", args: []string{"run"}},
		{name: "failure", args: []string{"run"}, err: errors.New("dial :1: refused"), want: 1,
			stderr: "prog: dial :1: refused\n"},
		{name: "usage found by the command", args: []string{"run"}, err: Usagef("--listen: no port in %q", "x"), want: 2,
			stderr: "prog: --listen: no port in \"x\"\nRun 'prog run --help' for usage.\n"},
		{name: "code of its own", args: []string{"run"}, err: &ExitError{Code: 3, Err: errors.New("refused")}, want: 3,
			stderr: "prog: refused\n"},
		{name: "code of its own, silent", args: []string{"run"}, err: &ExitError{Code: 3}, want: 3},
		{name: "wrapped code", args: []string{"run"}, err: fmt.Errorf("a: %w", &ExitError{Code: 4, Err: errors.New("b")}), want: 4,
			stderr: "prog: a: b\n"},
		{name: "a child's exit code is not ours", args: []string{"run"}, err: new(exec.ExitError), want: 1,
			stderr: "prog: <nil>\n"},
		{name: "unknown flag", args: []string{"run", "--nope"}, want: 2,
			stderr: "prog: unknown flag: --nope\nRun 'prog run --help' for usage.\n"},
		{name: "value missing", args: []string{"run", "-listen"}, want: 2,
			stderr: "prog: flag needs an argument: --listen\nRun 'prog run --help' for usage.\n"},
		{name: "too many arguments", args: []string{"run", "a", "b"}, want: 2,
			stderr: "prog: accepts at most 1 arg(s), received 2\nRun 'prog run --help' for usage.\n"},
		{name: "unknown command", args: []string{"walk"}, want: 2,
			stderr: "prog: unknown command \"walk\" for \"prog\"\nRun 'prog --help' for usage.\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			root := tree(func(*cobra.Command, []string) error { return tt.err })
			if got := Execute(t.Context(), root, tt.args, &stdout, &stderr); got != tt.want {
				t.Errorf("exit code: got %d, want %d", got, tt.want)
			}
			if diff := cmp.Diff(tt.stderr, stderr.String()); diff != "" {
				t.Errorf("standard error (-want +got):\n%s", diff)
			}
			if stdout.Len() > 0 {
				t.Errorf("standard output: got %q, want nothing", stdout.String())
			}
		})
	}
}

func TestNoArgumentsAreNotThoseOfTheProcess(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if got := Execute(t.Context(), tree(nil), nil, &stdout, &stderr); got != CodeOK {
		t.Errorf("exit code: got %d, want %d; standard error: %s", got, CodeOK, &stderr)
	}
	if !bytes.Contains(stdout.Bytes(), []byte("Usage:")) {
		t.Errorf("standard output: got %q, want the help", &stdout)
	}
}

func TestHelpWorksWithOneDash(t *testing.T) {
	for _, arg := range []string{"-h", "-help", "--help"} {
		var stdout, stderr bytes.Buffer
		root := tree(func(*cobra.Command, []string) error { return errors.New("ran") })
		if got := Execute(t.Context(), root, []string{"run", arg}, &stdout, &stderr); got != CodeOK || stdout.Len() == 0 {
			t.Errorf("%s: got code %d, %q, %q; want the help and code %d", arg, got, &stdout, &stderr, CodeOK)
		}
	}
}

func TestCommandSeesContextAndWriters(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "yes")
	var stdout, stderr bytes.Buffer
	root := tree(func(cmd *cobra.Command, _ []string) error {
		_, err := fmt.Fprint(cmd.OutOrStdout(), cmd.Context().Value(key{}))
		return err
	})
	if got := Execute(ctx, root, []string{"run"}, &stdout, &stderr); got != CodeOK || stdout.String() != "yes" {
		t.Errorf("got code %d, %q, want %d, %q", got, &stdout, CodeOK, "yes")
	}
}
