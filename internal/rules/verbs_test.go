//go:build unix

package rules

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The tests of this file hold what the users of the old proxy type: the verbs
// of the Makefile and the scripts behind them.

// makePlan returns what make would run.
func makePlan(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"-n", "-C", root}, args...)...)
	for _, e := range os.Environ() {
		// What a make around these tests was told is not meant for this one.
		if name, _, _ := strings.Cut(e, "="); !strings.HasPrefix(name, "MAKE") && name != "MFLAGS" {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make -n %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.ReplaceAll(string(out), "\\\n\t", "")
}

func TestMakeVerbsPassOnWhatTheyAreTold(t *testing.T) {
	for _, tc := range []struct {
		name      string
		env, args []string
		want      []string
		not       string
	}{
		{
			name: "run alone has the historic defaults",
			args: []string{"run"},
			want: []string{"bin/foo demo --sidecar bin/sidecar --listen ':8002' --forward ':8001' " +
				"--http '0.0.0.0:8088' --recovery-path '.data/recovery.json'"},
			not: "GOOS=",
		},
		{
			name: "run with args, which come last and so win",
			args: []string{"run", "OS=linux", "ARCH=amd64",
				"args=-forward :8001 -listen :8002 -http 0.0.0.0:8088 -recovery-path .data/recovery.json"},
			want: []string{
				"GOOS=linux GOARCH=amd64 ",
				"'.data/recovery.json' -forward :8001 -listen :8002 -http 0.0.0.0:8088 -recovery-path .data/recovery.json\n",
			},
		},
		{
			name: "run with variables of the environment",
			env:  []string{"FORWARDING_PORT=:1", "LISTENING_PORT=:2", "HTTP_ADDRESS=127.0.0.1:3", "RECOVERY_PATH=four.json"},
			args: []string{"run"},
			want: []string{"--listen ':2' --forward ':1' --http '127.0.0.1:3' --recovery-path 'four.json'"},
		},
		{
			name: "run with variables of the command line",
			args: []string{"run", "FORWARDING_PORT=:1", "LISTENING_PORT=:2"},
			want: []string{"--listen ':2' --forward ':1'"},
		},
		{
			name: "an exported OS is not what to build for",
			env:  []string{"OS=Windows_NT", "ARCH=x86_64"},
			args: []string{"build"},
			want: []string{" build "},
			not:  "GOOS=",
		},
		{
			name: "kill",
			args: []string{"kill", "args=-SIGUSR2"},
			want: []string{"deploy/signal.sh .data/sidecar.pid -SIGUSR2\n"},
		},
		{
			name: "deploy",
			args: []string{"deploy", "args=-f 8001 -l 8002 -h 8088 -r .data/recovery.json"},
			want: []string{"deploy/docker/compose.sh deploy ", " -f 8001 -l 8002 -h 8088 -r .data/recovery.json\n"},
		},
		{
			name: "docker-kill",
			args: []string{"docker-kill", "args=-SIGUSR2"},
			want: []string{"deploy/docker/compose.sh kill -SIGUSR2\n"},
		},
		{
			name: "docker-logs",
			args: []string{"docker-logs"},
			want: []string{"deploy/docker/compose.sh logs"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plan := makePlan(t, tc.env, tc.args...)
			for _, want := range tc.want {
				if !strings.Contains(plan, want) {
					t.Errorf("make would run\n%s\nwant %q in it", plan, want)
				}
			}
			if tc.not != "" && strings.Contains(plan, tc.not) {
				t.Errorf("make would run\n%s\nwant no %q in it", plan, tc.not)
			}
		})
	}
}

// script runs a script of deploy/ in an otherwise empty environment.
func script(t *testing.T, env []string, name string, args ...string) (code int, output string) {
	t.Helper()
	file, err := filepath.Abs(filepath.Join(root, "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{file}, args...)...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// sidecarEnv, when set, turns TestSidecarProcess into the process that the
// tests of "make kill" send signals to.
const sidecarEnv = "FOO_SIDECAR_TEST_PROCESS"

// TestSidecarProcess is not a test: it is the body of the child process.
func TestSidecarProcess(*testing.T) {
	if os.Getenv(sidecarEnv) == "" {
		return
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGUSR2, unix.SIGTERM)
	fmt.Println("ready")
	for sig := range signals {
		fmt.Println(unix.SignalName(sig.(unix.Signal)))
	}
}

// startProcess starts a child process that has the given program name. It
// returns its process id and the lines that it prints, and ends it.
func startProcess(t *testing.T, program string) (pid int, lines *bufio.Scanner, end func()) {
	t.Helper()
	file := filepath.Join(t.TempDir(), program)
	if err := os.Symlink(os.Args[0], file); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(file, "-test.run=^TestSidecarProcess$")
	cmd.Env = append(os.Environ(), sidecarEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(end)
	lines = bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the child process said %q, want ready", lines.Text())
	}
	return cmd.Process.Pid, lines, end
}

// pidFile writes a file that "make kill" reads.
func pidFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sidecar.pid")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestMakeKillSignalsTheSidecar(t *testing.T) {
	pid, lines, _ := startProcess(t, "sidecar")
	file := pidFile(t, strconv.Itoa(pid)+"\n")
	path := "PATH=" + os.Getenv("PATH")
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"-SIGUSR2"}, "SIGUSR2"},
		{[]string{"-USR2"}, "SIGUSR2"},
		{[]string{"-s", "SIGUSR2"}, "SIGUSR2"},
		{[]string{"-" + strconv.Itoa(int(unix.SIGUSR2))}, "SIGUSR2"},
		{nil, "SIGTERM"},
	} {
		code, output := script(t, []string{path}, "signal.sh", append([]string{file}, tc.args...)...)
		if code != 0 {
			t.Fatalf("%q: exit code %d\n%s", tc.args, code, output)
		}
		if !lines.Scan() || lines.Text() != tc.want {
			t.Errorf("%q: the process got %q, want %s", tc.args, lines.Text(), tc.want)
		}
	}
}

func TestMakeKillSaysWhyItSignalsNobody(t *testing.T) {
	ended, _, end := startProcess(t, "sidecar")
	end()
	foreign, _, _ := startProcess(t, "innocent")
	for _, tc := range []struct{ file, want string }{
		{filepath.Join(t.TempDir(), "none.pid"), "no sidecar of "},
		{pidFile(t, ""), "does not hold a process id"},
		{pidFile(t, "-1"), "does not hold a process id"},
		{pidFile(t, strconv.Itoa(ended)), "has ended"},
		{pidFile(t, strconv.Itoa(foreign)), "is no sidecar"},
	} {
		code, output := script(t, []string{"PATH=" + os.Getenv("PATH")}, "signal.sh", tc.file, "-SIGTERM")
		if code == 0 || !strings.HasPrefix(output, "make kill: ") || !strings.Contains(output, tc.want) {
			t.Errorf("%s: got exit code %d and %q, want %q", tc.file, code, output, tc.want)
		}
	}
}

// fakeDocker puts a docker first on the path that prints what it is called with
// and what it finds in the environment, and fails at the commands in failing.
func fakeDocker(t *testing.T, failing string) (path string) {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`#!/bin/sh
case "$*" in %s) exit 1 ;; "compose version" | info) exit 0 ;; esac
echo "docker $*"
env | grep ^FOO_ | sort
exit 0
`, failing)
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return "PATH=" + dir + ":" + os.Getenv("PATH")
}

func TestDockerVerbsRunCompose(t *testing.T) {
	env := []string{fakeDocker(t, "nothing")}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{
			[]string{"deploy", "-f", "8001", "-l", ":9002", "-h", "0.0.0.0:8088", "-r", ".data/recovery.json"},
			"docker compose up --detach --build\nFOO_FORWARD_PORT=8001\nFOO_HTTP_PORT=8088\n" +
				"FOO_LISTEN_PORT=9002\nFOO_RECOVERY_PATH=.data/recovery.json\nstatistics: curl localhost:8088/stats",
		},
		{[]string{"deploy"}, "docker compose up --detach --build\nstatistics: "},
		{[]string{"kill", "-SIGUSR2"}, "docker compose kill --signal SIGUSR2 sidecar\n"},
		{[]string{"kill", "-s", "USR2"}, "docker compose kill --signal USR2 sidecar\n"},
		{[]string{"kill"}, "docker compose kill --signal SIGTERM sidecar\n"},
		{[]string{"logs", "client"}, "docker compose logs --follow client\n"},
		{[]string{"undeploy", "--volumes"}, "docker compose down --volumes\n"},
	} {
		code, output := script(t, env, "docker/compose.sh", tc.args...)
		if code != 0 || !strings.HasPrefix(output, tc.want) {
			t.Errorf("%q: got exit code %d and %q, want %q", tc.args, code, output, tc.want)
		}
	}
}

func TestDockerVerbsSayWhatIsMissing(t *testing.T) {
	working := fakeDocker(t, "nothing")
	for _, tc := range []struct {
		path string
		args []string
		want string
	}{
		{"PATH=" + t.TempDir(), []string{"deploy"}, "make deploy: Docker is not installed"},
		{fakeDocker(t, `"compose version"`), []string{"kill"}, `make docker-kill: the Docker client has no "compose" command`},
		{fakeDocker(t, "info"), []string{"logs"}, "make docker-logs: no Docker daemon answers"},
		{working, []string{"deploy", "-l", "http"}, "make deploy: -l http: want a port"},
		{working, []string{"deploy", "8001"}, `make deploy: unexpected "8001"`},
		{working, []string{"kill", "-s"}, "make docker-kill: -s needs a signal"},
		{working, []string{"dance"}, "usage: "},
	} {
		code, output := script(t, []string{tc.path}, "docker/compose.sh", tc.args...)
		if code == 0 || !strings.HasPrefix(output, tc.want) {
			t.Errorf("%q: got exit code %d and %q, want %q", tc.args, code, output, tc.want)
		}
	}
}
