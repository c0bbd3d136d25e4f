package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/dashboard"
	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/remote"
	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/terminal"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

const (
	// minInterval is the shortest time between two screens.
	minInterval = 100 * time.Millisecond
	// reconnectAfter is the time after which a sidecar that is not reached is
	// tried again.
	reconnectAfter = time.Second
)

// topFlags are the flags of sidecar top.
type topFlags struct {
	interval time.Duration
	sort     dashboard.Sort
	asJSON   bool
	once     bool
}

func newTop() *cobra.Command {
	flags := topFlags{sort: dashboard.SortGiven}
	cmd := &cobra.Command{
		Use:   "top [ADDRESS...]",
		Short: "Watch sidecars on a terminal: rates, latency, connections, upstreams",
		Long: `top shows what sidecars do, each second, with a row for each and all about the
one that is selected. A sidecar that can't be reached is a row that says why,
and is tried again.

  STATE       ready, or why not below
  REQ/S, 10S  requests a second, over the last second and the last ten
  P50, P99    latency in the last second in which pairs ended
  FAILED      share of refused and unanswered requests in the last ten seconds
  FLIGHT      requests without an answer yet, and how old the OLDEST is
  QUEUE       clients that wait for an upstream connection
  CONNS       connections of clients
  UPSTREAM    endpoints that are not known to be down
  CONFIG      generation of the configuration; bad: its last load was refused
  CHECKPOINT  age of the last one

Keys: q and Ctrl-C leave, s changes the order, r reverses it, up and down select.

` + aboutAddress + `

Exit code: 0 after it was left, 1 if with --once a sidecar can't be reached, or
if drawing fails, 2 if the command line is wrong.`,
		Example: `  sidecar top
  sidecar top 10.0.0.7:8088 10.0.0.8:8088 --sort rate
  sidecar top --json --interval 5s | jq '.sidecars[].stats.request_rate_1s'
  kubectl exec -it POD -c foo-sidecar -- sidecar top`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			addresses, err := addressesOf(args)
			if err != nil {
				return err
			}
			if flags.interval < minInterval {
				return cli.Usagef("--interval: must be at least %s, got %s", minInterval, flags.interval)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), endSignals...)
			defer stop()
			return runTop(ctx, addresses, flags, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.DurationVar(&flags.interval, "interval", time.Second, "`time` from one screen or line to the next")
	f.Var(&flags.sort, "sort", "`order` of the rows: given, name, rate, p99, failed, inflight or oldest")
	f.BoolVar(&flags.asJSON, "json", false, "print one line of JSON each interval, without a terminal")
	f.BoolVar(&flags.once, "once", false, "print everything once, without a terminal")
	sorts := make([]string, len(dashboard.Sorts))
	for i, s := range dashboard.Sorts {
		sorts[i] = string(s)
	}
	complete(cmd, "sort", cobra.FixedCompletions(sorts, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "interval", cobra.FixedCompletions([]string{"1s", "5s", "10s"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// runTop watches sidecars until ctx ends or somebody leaves.
func runTop(ctx context.Context, addresses []remote.Address, flags topFlags, stdin io.Reader, stdout io.Writer) (err error) {
	names := make([]string, len(addresses))
	for i, a := range addresses {
		names[i] = a.String()
	}
	t := top{
		board:    dashboard.New(names, flags.sort, flags.interval),
		reports:  make(chan dashboard.Report),
		interval: flags.interval,
		out:      stdout,
	}
	in, _ := stdin.(*os.File)
	out, _ := stdout.(*os.File)
	var screen *terminal.Screen
	if !flags.asJSON && !flags.once {
		screen, err = terminal.Open(in, out, os.Getenv)
		if errors.Is(err, terminal.ErrNoTerminal) {
			return cli.Usagef("%w, which top draws on: use --once or --json, or with kubectl exec the flags -it", err)
		}
		if err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	for i, a := range addresses {
		watching.Go(func() { watch(ctx, i, a, t.reports) })
	}
	if screen != nil {
		defer func() { err = errors.Join(err, screen.Close()) }()
		return t.draw(ctx, screen)
	}
	t.styled = out != nil && terminal.Styled(out, os.Getenv)
	return t.print(ctx, flags)
}

// watch reports what one sidecar says, or that it says nothing, until ctx ends.
func watch(ctx context.Context, index int, address remote.Address, reports chan<- dashboard.Report) {
	client := remote.New(address)
	defer client.Close()
	report := func(d *dashboard.Document, err error) {
		if failure, ok := errors.AsType[*remote.Error](err); ok {
			err = failure.Err // the row tells the address
		}
		select {
		case reports <- dashboard.Report{Sidecar: index, Document: d, Err: err}:
		case <-ctx.Done():
		}
	}
	for {
		events, err := client.Events(ctx)
		if err != nil {
			report(nil, err)
		} else {
			first := true
			for event, err := range events {
				if err != nil {
					report(nil, err)
					break
				}
				report(dashboard.Parse(event, first))
				first = false
			}
		}
		select {
		case <-time.After(reconnectAfter):
		case <-ctx.Done():
			return
		}
	}
}

// top is a dashboard with those who tell it what to show.
type top struct {
	board    *dashboard.Board
	reports  chan dashboard.Report
	interval time.Duration
	out      io.Writer
	styled   bool
}

// draw shows the dashboard on a screen until somebody leaves.
func (t *top) draw(ctx context.Context, screen *terminal.Screen) error {
	ticker := time.NewTicker(t.interval)
	defer ticker.Stop()
	keys := screen.Keys()
	for {
		_, rows := screen.Size()
		if err := screen.Draw(t.board.Screen(rows, time.Now())); err != nil {
			return err
		}
		for waiting := true; waiting; {
			select {
			case r := <-t.reports:
				waiting = !t.board.Take(r, time.Now())
			case key, ok := <-keys:
				if !ok || !t.press(key) {
					return nil
				}
				waiting = false
			case <-ticker.C:
				waiting = false
			case <-screen.Resized():
				waiting = false
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// press does what a key asks for. It reports whether the dashboard goes on.
func (t *top) press(key terminal.Key) bool {
	switch key {
	case 'q', 'Q', terminal.CtrlC:
		return false
	case 's':
		t.board.NextSort()
	case 'r':
		t.board.Reverse()
	case terminal.KeyUp, 'k':
		t.board.Select(-1)
	case terminal.KeyDown, 'j':
		t.board.Select(1)
	}
	return true
}

// print writes the dashboard once, or each interval as JSON, from when all
// sidecars have been tried.
func (t *top) print(ctx context.Context, flags topFlags) error {
	ticker := time.NewTicker(t.interval)
	defer ticker.Stop()
	begun := false
	for {
		select {
		case r := <-t.reports:
			t.board.Take(r, time.Now())
			if begun || !t.board.Complete() {
				continue
			}
			begun = true
			ticker.Reset(t.interval)
		case <-ticker.C:
			if !begun {
				continue
			}
		case <-ctx.Done():
			return nil
		}
		if err := t.write(flags.asJSON); err != nil {
			return err
		}
		if flags.once {
			return t.verdict()
		}
	}
}

func (t *top) write(asJSON bool) error {
	now := time.Now()
	if asJSON {
		line, err := t.board.JSON(now)
		if err != nil {
			return err
		}
		if _, err := t.out.Write(terminal.SafeJSON(line)); err != nil {
			return fmt.Errorf("print the sidecars: %w", err)
		}
		return nil
	}
	for _, line := range t.board.Once(now) {
		if _, err := fmt.Fprintln(t.out, line.Render(0, t.styled)); err != nil {
			return fmt.Errorf("print the sidecars: %w", err)
		}
	}
	return nil
}

// verdict is the exit code of a look at all sidecars. What is wrong was printed.
func (t *top) verdict() error {
	if t.board.Err() != nil {
		return &cli.ExitError{Code: cli.CodeFailure}
	}
	return nil
}
