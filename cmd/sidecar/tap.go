package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/format"
	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/remote"
	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/terminal"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
	"github.com/foo-protocol/foo-sidecar/pkg/admin"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry/inspect"
)

func newTap() *cobra.Command {
	var (
		filter remote.Filter
		count  int64
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "tap [ADDRESS]",
		Short: "Show the pairs of a sidecar as they end, one line each",
		Long: `tap shows requests with their answers as they end: when the request came, how it
ended, how long that took, sizes and peers. Data is shown only if the sidecar's
configuration says telemetry.pairs.payload: show.

The sidecar chooses the pairs and sends at most --rate of them a second; how
many it left out is told on standard error, with --json in a line
{"omitted":n} instead. It does next to nothing while nobody watches.

` + aboutAddress + `

Exit code: 0 after --count pairs and after Ctrl-C, 1 if the sidecar can't be
reached or goes away, 2 if the command line is wrong.`,
		Example: `  sidecar tap --outcome nak,nak_local,unanswered
  sidecar tap 10.0.0.7:8088 --slower 50ms --count 10
  sidecar tap --match '"client":"10\.0\.0\.9:' --json | jq .duration_seconds
  kubectl exec POD -c foo-sidecar -- sidecar tap --outcome nak`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFilter(filter, count); err != nil {
				return err
			}
			p := pairPrinter{out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), count: count}
			unread := func() bool { return false }
			if file, ok := p.out.(*os.File); ok {
				p.styled = terminal.Styled(file, os.Getenv)
				unread = func() bool { return terminal.Unread(file) }
			}
			printLine := p.print
			if asJSON {
				printLine = p.printJSON
			}
			return withSidecar(cmd, args, func(ctx context.Context, client *remote.Client) error {
				return tap(ctx, client, filter, printLine, unread)
			})
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&filter.Outcomes, "outcome", nil, "only pairs that ended as one of these `outcomes`: "+strings.Join(admin.TapOutcomes, ", "))
	f.DurationVar(&filter.Slower, "slower", 0, "only pairs that took at least this `time`")
	f.StringVar(&filter.Match, "match", "", "only pairs whose line of JSON matches this regular `expression` (RE2)")
	f.IntVar(&filter.Rate, "rate", inspect.DefaultTapRate, "at most this `number` of pairs a second")
	f.Int64Var(&count, "count", 0, "end after this `number` of pairs; 0 is never")
	f.BoolVar(&asJSON, "json", false, "print one line of JSON for each pair")
	complete(cmd, "outcome", completeList(admin.TapOutcomes))
	complete(cmd, "slower", cobra.FixedCompletions([]string{"1ms", "10ms", "100ms", "1s"}, cobra.ShellCompDirectiveNoFileComp))
	for _, flag := range []string{"match", "rate", "count"} {
		complete(cmd, flag, cobra.NoFileCompletions)
	}
	return cmd
}

// complete registers how the values of a flag are completed.
func complete(cmd *cobra.Command, flag string, with cobra.CompletionFunc) {
	_ = cmd.RegisterFlagCompletionFunc(flag, with) // there is such a flag
}

// completeList completes the last of several values with commas between them.
func completeList(values []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		before := begun[:strings.LastIndex(begun, ",")+1]
		given := strings.Split(before, ",")
		var completions []string
		for _, v := range values {
			if !slices.Contains(given, v) {
				completions = append(completions, before+v)
			}
		}
		return completions, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// checkFilter finds what is wrong with a command line before a sidecar is
// asked.
func checkFilter(f remote.Filter, count int64) error {
	for _, outcome := range f.Outcomes {
		if !slices.Contains(admin.TapOutcomes, outcome) {
			return cli.Usagef("--outcome: %q is none of %s", outcome, strings.Join(admin.TapOutcomes, ", "))
		}
	}
	if _, err := regexp.Compile(f.Match); err != nil {
		return cli.Usagef("--match: %w", err)
	}
	switch {
	case f.Slower < 0:
		return cli.Usagef("--slower: %s is negative", f.Slower)
	case f.Rate < 1 || f.Rate > inspect.MaxTapRate:
		return cli.Usagef("--rate: must be 1 to %d, got %d", inspect.MaxTapRate, f.Rate)
	case count < 0:
		return cli.Usagef("--count: %d is negative", count)
	}
	return nil
}

// errUnread is why a tap ends whose pairs nobody sees. A write would tell, but
// there may be none for hours, while the sidecar has one watcher less for others:
// what "kubectl exec" started goes on when kubectl has gone.
var errUnread = errors.New("nobody reads standard output any more")

// tap prints what a sidecar shows, until ctx ends, enough has been printed, or
// nobody reads it.
func tap(ctx context.Context, client *remote.Client, f remote.Filter, printLine func(line []byte) (enough bool, err error), unread func() bool) error {
	lines, err := client.Tap(ctx, f)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	for line, err := range lines {
		if err != nil {
			return err
		}
		if len(line) == 0 {
			if unread() {
				return errUnread
			}
			continue
		}
		if enough, err := printLine(line); err != nil || enough {
			return err
		}
	}
	return nil
}

// pairPrinter prints the lines of a tap.
type pairPrinter struct {
	out    io.Writer
	notes  io.Writer // for what is no pair
	styled bool
	count  int64 // of pairs to print; 0: any number

	printed int64
}

// tapLine is a pair, or how many were left out.
type tapLine struct {
	Omitted int64 `json:"omitted"`
	inspect.Record
}

// print prints a line in columns.
func (p *pairPrinter) print(line []byte) (enough bool, err error) {
	var l tapLine
	if err := json.Unmarshal(line, &l); err != nil {
		return false, fmt.Errorf("read a pair: %w", err)
	}
	if l.Omitted > 0 {
		fmt.Fprintf(p.notes, "sidecar: %s more pairs left out: above --rate, or too many to look at\n", format.Count(l.Omitted))
		return false, nil
	}
	if p.printed == 0 {
		if err := p.write(format.PairHeader()); err != nil {
			return false, err
		}
	}
	if err := p.write(format.Pair(l.Time.Local().Format("15:04:05.000"), &l.Record)); err != nil {
		return false, err
	}
	return p.enough(), nil
}

// printJSON prints a line as it came.
func (p *pairPrinter) printJSON(line []byte) (enough bool, err error) {
	var l tapLine
	if err := json.Unmarshal(line, &l); err != nil {
		return false, fmt.Errorf("read a pair: %w", err)
	}
	if _, err := p.out.Write(append(terminal.SafeJSON(line), '\n')); err != nil {
		return false, fmt.Errorf("print a pair: %w", err)
	}
	return l.Omitted == 0 && p.enough(), nil
}

func (p *pairPrinter) write(line terminal.Line) error {
	if _, err := fmt.Fprintln(p.out, line.Render(0, p.styled)); err != nil {
		return fmt.Errorf("print a pair: %w", err)
	}
	return nil
}

// enough counts a pair and reports whether it was the last.
func (p *pairPrinter) enough() bool {
	p.printed++
	return p.printed == p.count
}
