//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// targetEnv, when set, turns TestKillTarget into the process that the other
// tests send signals to.
const targetEnv = "FOO_SIDECAR_TEST_KILL_TARGET"

// TestKillTarget is not a test: it is the body of the child process. It says
// when it is ready, then names each signal that it gets, until TERM.
func TestKillTarget(*testing.T) {
	if os.Getenv(targetEnv) == "" {
		return
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM)
	fmt.Println("ready")
	for sig := range signals {
		fmt.Println(unix.SignalName(sig.(unix.Signal)))
		if sig == unix.SIGTERM {
			os.Exit(0)
		}
	}
}

// target is a child process that tells which signals it got.
type target struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

// startTarget starts a target in a process group of its own, whose number is
// the target's process id.
func startTarget(t *testing.T) *target {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillTarget$")
	cmd.Env = append(os.Environ(), targetEnv+"=1")
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tg := &target{cmd: cmd, lines: bufio.NewScanner(out)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	tg.expect(t, "ready")
	return tg
}

func (tg *target) pid() string   { return strconv.Itoa(tg.cmd.Process.Pid) }
func (tg *target) group() string { return "-" + tg.pid() }

// expect reads the next line that the target prints.
func (tg *target) expect(t *testing.T, want string) {
	t.Helper()
	if !tg.lines.Scan() {
		t.Fatalf("the target ended without saying %s", want)
	}
	if got := tg.lines.Text(); got != want {
		t.Fatalf("the target said %q, want %q", got, want)
	}
}

// kill runs the command and returns its exit code and what it printed.
func kill(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = runKill(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestKillSendsTheSignalInEverySpelling(t *testing.T) {
	tg := startTarget(t)
	usr2 := strconv.Itoa(int(unix.SIGUSR2))
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"-USR2", tg.pid()}, "SIGUSR2"},
		{[]string{"-SIGUSR2", tg.pid()}, "SIGUSR2"},
		{[]string{"-sigusr1", tg.pid()}, "SIGUSR1"},
		{[]string{"-hup", tg.pid()}, "SIGHUP"},
		{[]string{"-" + usr2, tg.pid()}, "SIGUSR2"},
		{[]string{"-s", "USR1", tg.pid()}, "SIGUSR1"},
		{[]string{"-s", "SIGHUP", "--", tg.pid()}, "SIGHUP"},
		{[]string{"-n", usr2, tg.pid()}, "SIGUSR2"},
		{[]string{"-USR1", "--", tg.group()}, "SIGUSR1"},
		{[]string{"-USR2", tg.group()}, "SIGUSR2"},
		{[]string{tg.pid()}, "SIGTERM"}, // Last, for it ends the target.
	} {
		if code, _, stderr := kill(tc.args...); code != 0 {
			t.Fatalf("kill %s: got exit code %d (%s), want 0", strings.Join(tc.args, " "), code, stderr)
		}
		tg.expect(t, tc.want)
	}
}

func TestKillWithoutASignalSendsTermToAGroup(t *testing.T) {
	tg := startTarget(t)
	if code, _, stderr := kill("--", tg.group()); code != 0 {
		t.Fatalf("got exit code %d (%s), want 0", code, stderr)
	}
	tg.expect(t, "SIGTERM")
}

func TestKillZeroOnlyAsksWhetherTheProcessIsThere(t *testing.T) {
	tg := startTarget(t)
	if code, _, stderr := kill("-0", tg.pid()); code != 0 || stderr != "" {
		t.Errorf("a living process: got exit code %d (%s), want 0 and silence", code, stderr)
	}
	_ = tg.cmd.Process.Kill()
	_ = tg.cmd.Wait()
	code, _, stderr := kill("-0", tg.pid())
	if want := "kill: " + tg.pid() + ": no such process\n"; code != 1 || stderr != want {
		t.Errorf("a process that is gone: got exit code %d and %q, want 1 and %q", code, stderr, want)
	}
}

func TestKillGoesOnAfterAProcessThatIsGone(t *testing.T) {
	gone, tg := startTarget(t), startTarget(t)
	_ = gone.cmd.Process.Kill()
	_ = gone.cmd.Wait()
	if code, _, _ := kill("-USR2", gone.pid(), tg.pid()); code != 1 {
		t.Errorf("got exit code %d, want 1", code)
	}
	tg.expect(t, "SIGUSR2")
}

func TestKillSignalsNobodyWhenTheArgumentsMakeNoSense(t *testing.T) {
	tg := startTarget(t)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "no process id given"},
		{[]string{"-USR2"}, "no process id given"},
		{[]string{"--"}, "no process id given"},
		{[]string{"-s"}, "-s needs a signal after it"},
		{[]string{"-n"}, "-n needs a signal after it"},
		{[]string{"-NOPE", tg.pid()}, `unknown signal "NOPE" (kill -l lists them)`},
		{[]string{"-", tg.pid()}, `unknown signal "" (kill -l lists them)`},
		{[]string{"-128", tg.pid()}, `unknown signal "128" (kill -l lists them)`},
		{[]string{"-TERM", tg.pid(), "sidecar"}, `not a process id: "sidecar"`},
		{[]string{"-TERM", tg.pid(), "4294967297"}, `not a process id: "4294967297"`},
		{[]string{"-TERM", tg.pid(), ""}, `not a process id: ""`},
	} {
		code, _, stderr := kill(tc.args...)
		if want := "kill: " + tc.want + "\nusage: "; code != 2 || !strings.HasPrefix(stderr, want) {
			t.Errorf("kill %q: got exit code %d and %q, want 2 and %q...", tc.args, code, stderr, want)
		}
	}
	// The target proves by its next words that no TERM came before them.
	if code, _, stderr := kill("-USR1", tg.pid()); code != 0 {
		t.Fatalf("got exit code %d (%s), want 0", code, stderr)
	}
	tg.expect(t, "SIGUSR1")
}

func TestKillListsSignals(t *testing.T) {
	number := strconv.Itoa(int(unix.SIGUSR2))
	code, stdout, _ := kill("-l")
	names := strings.Fields(stdout)
	if code != 0 || len(names) < 20 || names[0] != "HUP" || names[8] != "KILL" {
		t.Errorf("kill -l: got exit code %d and %q", code, stdout)
	}
	for _, tc := range []struct {
		arg, stdout, stderr string
		code                int
	}{
		{arg: number, stdout: "USR2\n"},
		{arg: "137", stdout: "KILL\n"},
		{arg: "sigusr2", stdout: number + "\n"},
		{arg: "KILL", stdout: "9\n"},
		{arg: "0", stderr: "kill: no signal has the number 0\n", code: 1},
		{arg: "NOPE", stderr: "kill: unknown signal \"NOPE\" (kill -l lists them)\n", code: 1},
	} {
		code, stdout, stderr := kill("-l", tc.arg)
		if code != tc.code || stdout != tc.stdout || stderr != tc.stderr {
			t.Errorf("kill -l %s: got %d, %q, %q; want %d, %q, %q",
				tc.arg, code, stdout, stderr, tc.code, tc.stdout, tc.stderr)
		}
	}
}

func TestKillHelpGoesToStandardOutput(t *testing.T) {
	if code, stdout, stderr := kill("--help"); code != 0 || stdout != killUsage || stderr != "" {
		t.Errorf("got %d, %q, %q; want 0, the usage and silence", code, stdout, stderr)
	}
}

func FuzzParseKill(f *testing.F) {
	for _, s := range []string{"-USR2 1", "-s TERM -- -5", "-n 9 1 2", "1", "--", "-", "-s", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		sig, pids, err := parseKill(strings.Fields(line))
		if err == nil && (len(pids) == 0 || sig < 0) {
			t.Errorf("parseKill(%q) = %d, %v without an error", line, sig, pids)
		}
	})
}
