//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// errUsage is a command line that makes no sense, of which the user has been
// told.
var errUsage = errors.New("the command line makes no sense")

// lastCore stands for the last processor that may be used.
const lastCore = -1

// options are the flags.
type options struct {
	workloads       []workload
	subjects        []subject
	rounds          int
	slice           time.Duration
	oneCore, spread bool
	core            int
	strace          bool
	json            string
	write           bool
}

// parse reads the command line. What is wrong with it is told to stderr.
func parse(args []string, stderr io.Writer) (o options, err error) {
	var wanted, of string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&wanted, "workloads", "", "`names` of workloads, separated by commas (default all)")
	f.StringVar(&of, "subjects", "", "`names` of subjects, separated by commas (default all)")
	f.IntVar(&o.rounds, "rounds", 7, "`number` of times that each subject has its turn with each workload")
	f.DurationVar(&o.slice, "slice", time.Second, "`time` that a turn takes")
	f.BoolVar(&o.oneCore, "one-core", true, "measure with server, proxy and load on one processor")
	f.BoolVar(&o.spread, "spread", true, "measure with the processes on all processors, where the system puts them")
	f.IntVar(&o.core, "core", lastCore, "`number` of the processor for --one-core; -1 is the last that may be used")
	f.BoolVar(&o.strace, "strace", true, "count system calls with strace, if it is installed, in turns of their own")
	f.StringVar(&o.json, "json", "", "`file` to which every measurement is written as JSON")
	f.BoolVar(&o.write, "write", false, "write the results to "+performance)
	f.Usage = func() { usage(f) }
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, errUsage // The package has told.
	}
	if err := o.complete(wanted, of, f.Args()); err != nil {
		fmt.Fprintf(stderr, "bench: %v\nRun it with --help for usage.\n", err)
		return o, errUsage
	}
	return o, nil
}

// complete finds what the names stand for, and checks the rest.
func (o *options) complete(wanted, of string, rest []string) (err error) {
	if o.workloads, err = choose("workload", workloads, func(w workload) string { return w.name }, wanted); err != nil {
		return err
	}
	if o.subjects, err = choose("subject", subjects, func(s subject) string { return s.name }, of); err != nil {
		return err
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case o.rounds < 1:
		return fmt.Errorf("--rounds is %d, it has to be at least 1", o.rounds)
	case o.slice < 10*time.Millisecond:
		return fmt.Errorf("--slice is %v, it has to be at least 10ms", o.slice)
	case o.core < lastCore:
		return fmt.Errorf("--core is %d, it has to be the number of a processor, or -1", o.core)
	case !o.oneCore && !o.spread:
		return errors.New("without --one-core and --spread there is nothing to measure")
	}
	return nil
}

// choose returns those of all that a list names, in the order of all. A name
// stands for what begins with it and a dash, as well.
func choose[T any](kind string, all []T, name func(T) string, list string) (chosen []T, err error) {
	if list == "" {
		return all, nil
	}
	names := strings.Split(list, ",")
	of := func(have, wanted string) bool {
		return have == wanted || kind == "workload" && strings.HasPrefix(have, wanted+"-")
	}
	for _, wanted := range names {
		if !slices.ContainsFunc(all, func(one T) bool { return of(name(one), wanted) }) {
			return nil, fmt.Errorf("there is no %s %q", kind, wanted)
		}
	}
	for _, one := range all {
		if slices.ContainsFunc(names, func(wanted string) bool { return of(name(one), wanted) }) {
			chosen = append(chosen, one)
		}
	}
	return chosen, nil
}

// usage prints the help.
func usage(f *flag.FlagSet) {
	out := f.Output()
	fmt.Fprint(out, `bench measures the sidecar end to end beside other proxies. All of it takes about
an hour; progress goes to standard error. Run it from the root of the repository:

  make bench
  make bench args="--workloads W3,W4 --subjects sidecar,haproxy --rounds 15 --spread=false"
  make bench args=--write

Workloads:
`)
	for _, w := range workloads {
		fmt.Fprintf(out, "  %-12s %s\n", w.name, w.about)
	}
	fmt.Fprint(out, "\nSubjects:\n")
	for _, s := range subjects {
		fmt.Fprintf(out, "  %-12s %s\n", s.name, s.help())
	}
	fmt.Fprint(out, "\nFlags:\n")
	f.PrintDefaults()
}
