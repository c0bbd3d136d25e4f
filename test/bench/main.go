//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage): // It has been said.
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures as the arguments say, tells stderr how far it is, and stdout
// what came out.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.write {
		// Whether the results can be written shows before the hour of measuring.
		if _, err := replaceResults(performance, ""); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "foo-bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{options: o, dir: dir, log: stderr}
	if err := b.build(ctx); err != nil {
		return err
	}
	if err := b.measureAll(ctx); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	return b.publish(ctx, stdout)
}

// publish prints the results, and writes them where the options say.
func (b *bench) publish(ctx context.Context, stdout io.Writer) error {
	r := b.results
	r.Machine = describe(ctx)
	r.Ratios = ratios(r.Measurements)
	text := r.markdown()
	if _, err := io.WriteString(stdout, text); err != nil {
		return err
	}
	if b.json != "" {
		if err := r.writeJSON(b.json); err != nil {
			return err
		}
	}
	if b.write {
		page, err := replaceResults(performance, text)
		if err != nil {
			return err
		}
		if err := os.WriteFile(performance, []byte(page), 0o644); err != nil { //nolint:gosec // A page for everybody.
			return err
		}
	}
	if b.failures > 0 {
		return fmt.Errorf("%d measurements failed, see %q among the results", b.failures, leftOut)
	}
	return nil
}

// performance is the page that has the results, seen from the root of the
// repository.
var performance = filepath.Join("docs", "performance.md")
