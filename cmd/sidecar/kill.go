//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const killUsage = `usage: kill [-s SIGNAL | -n NUMBER | -SIGNAL] [--] PID...
       kill -l [SIGNAL...]

SIGNAL is a name, with or without SIG, in any case, or a number; 0 sends nothing
and only checks that the process is there. Without one it is TERM. A PID below
zero means a process group: kill -USR2 -- -5.
`

// runKill is the kill command. An image built from scratch holds no program
// but the sidecar, so the sidecar brings this one along, under the name of
// kill, for "kubectl exec POD -c foo-sidecar -- kill -USR2 1".
//
// It returns 0 if every process was signalled, 1 if one was not, and 2, having
// signalled nobody, if the arguments make no sense.
func runKill(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		switch args[0] {
		case "-l", "-L":
			return listSignals(args[1:], stdout, stderr)
		case "-h", "--help":
			fmt.Fprint(stdout, killUsage)
			return 0
		}
	}
	sig, pids, err := parseKill(args)
	if err != nil {
		fmt.Fprintf(stderr, "kill: %v\n%s", err, killUsage)
		return 2
	}
	code := 0
	for _, pid := range pids {
		if err := unix.Kill(pid, sig); err != nil {
			fmt.Fprintf(stderr, "kill: %d: %v\n", pid, err)
			code = 1
		}
	}
	return code
}

// parseKill takes a command line apart. Only its beginning can name the
// signal, so that a negative number after it is a process group.
func parseKill(args []string) (unix.Signal, []int, error) {
	sig := unix.SIGTERM
	if len(args) > 0 && args[0] != "--" && strings.HasPrefix(args[0], "-") {
		name := args[0][1:]
		args = args[1:]
		if name == "s" || name == "n" {
			if len(args) == 0 {
				return 0, nil, fmt.Errorf("-%s needs a signal after it", name)
			}
			name, args = args[0], args[1:]
		}
		var err error
		if sig, err = parseSignal(name); err != nil {
			return 0, nil, err
		}
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return 0, nil, errors.New("no process id given")
	}
	pids := make([]int, len(args))
	for i, arg := range args {
		// A number of more than 32 bits would be cut, and mean another process.
		pid, err := strconv.ParseInt(arg, 10, 32)
		if err != nil {
			return 0, nil, fmt.Errorf("not a process id: %q", arg)
		}
		pids[i] = int(pid)
	}
	return sig, pids, nil
}

// parseSignal reads a signal's name or number. Numbers are not checked against
// the named signals, because real-time signals have no names.
func parseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.ParseUint(s, 10, 7); err == nil {
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q (kill -l lists them)", s)
}

// listSignals prints the names of all signals, or turns each number among args
// into a name and each name into a number. A number above 128 is taken as the
// exit status that a shell reports for a process which a signal ended.
func listSignals(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprintln(stdout, strings.Join(signalNames(), " "))
		return 0
	}
	code := 0
	for _, arg := range args {
		n, err := strconv.ParseUint(arg, 10, 8)
		if err != nil {
			sig, err := parseSignal(arg)
			if err != nil {
				fmt.Fprintf(stderr, "kill: %v\n", err)
				code = 1
				continue
			}
			fmt.Fprintln(stdout, int(sig))
			continue
		}
		if n > 128 {
			n -= 128
		}
		name := unix.SignalName(unix.Signal(n))
		if name == "" {
			fmt.Fprintf(stderr, "kill: no signal has the number %s\n", arg)
			code = 1
			continue
		}
		fmt.Fprintln(stdout, strings.TrimPrefix(name, "SIG"))
	}
	return code
}

// signalNames lists the signals of this system that have names, by number.
func signalNames() []string {
	var names []string
	for n := range 65 {
		if name := unix.SignalName(unix.Signal(n)); name != "" {
			names = append(names, strings.TrimPrefix(name, "SIG"))
		}
	}
	return names
}
