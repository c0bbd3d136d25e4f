//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/server"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

// process makes the program a process of its own, to be started.
func process(t *testing.T, args ...string) (cmd *exec.Cmd, stdout *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self, args...)
	cmd.Env = append(os.Environ(), mainVariable+"=1")
	stdout = new(bytes.Buffer)
	cmd.Stdout = stdout
	t.Cleanup(func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
	})
	return cmd, stdout
}

// interrupt does what a terminal's Ctrl-C does.
func interrupt(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// The server and the load generator as a test or a user runs them: two
// processes, and a signal that ends the server.
func TestServeAndLoadCountTheSame(t *testing.T) {
	for name, listen := range map[string]string{
		"tcp": "127.0.0.1:0", "unix": "unix:" + filepath.Join(t.TempDir(), "foo.sock"),
	} {
		t.Run(name, func(t *testing.T) {
			serve, stdout := process(t, "serve", "-listen", listen, "-nak", "0.1", "-delay", "1ms",
				"-delay-spread", "1ms", "-out-of-order", "-response-size", "48", "-stats-on-exit")
			ready, err := serve.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := serve.Start(); err != nil {
				t.Fatal(err)
			}
			line := make([]byte, 256)
			n, err := ready.Read(line)
			if err != nil {
				t.Fatal(err)
			}
			address := strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "listening on "))

			got := execute(t.Context(), "", "load", "-connect", address, "-connections", "5", "-pipeline", "20",
				"-requests", "3000", "-json")
			var report struct{ Sent, ACKs, NAKs, Wrong, Unanswered int64 }
			if err := json.Unmarshal([]byte(got.stdout), &report); err != nil || got.code != cli.CodeOK {
				t.Fatalf("load: got %+v, %v", got, err)
			}
			interrupt(t, serve)
			if err := serve.Wait(); err != nil {
				t.Errorf("serve: %v", err)
			}
			var stats server.Stats
			if err := json.Unmarshal(stdout.Bytes(), &stats); err != nil {
				t.Fatalf("statistics %q: %v", stdout, err)
			}
			if report.Sent != 3000 || stats.Requests != 3000 || stats.ACKs != report.ACKs || stats.NAKs != report.NAKs ||
				stats.NAKs == 0 || stats.Connections != 5 {
				t.Errorf("load %+v\nserve %+v\nwant 3000 requests and equal counts", report, stats)
			}
		})
	}
}

func TestInterruptedLoadStillReports(t *testing.T) {
	address := serve(t, server.Options{})
	load, stdout := process(t, "load", "-connect", address, "-rate", "1000", "-duration", "1h", "-progress")
	progress, err := load.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 256)
	if n, err := progress.Read(line); err != nil || !strings.Contains(string(line[:n]), "requests/s") {
		t.Fatalf("progress: got %q, %v", line[:n], err)
	}
	interrupt(t, load)
	if err := load.Wait(); err != nil {
		t.Errorf("load: %v", err)
	}
	if !strings.Contains(stdout.String(), "open loop, 1000 requests/s") {
		t.Errorf("got %q, want a report", stdout)
	}
}
