package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/server"
	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

// mainVariable makes the test binary the program itself.
const mainVariable = "FOO_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainVariable) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// outcome is what a command did.
type outcome struct {
	code           int
	stdout, stderr string
}

// execute runs a command in this process. Standard input is empty unless given.
func execute(ctx context.Context, stdin string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	root := newRoot()
	root.SetIn(strings.NewReader(stdin))
	code := cli.Execute(ctx, root, args, &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// listen listens on a loopback port until the test ends.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// serve runs a Foo server until the test ends and returns its address.
func serve(t *testing.T, o server.Options) string {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.New(o).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return wire.Address(l)
}

// script answers the first connection by what it reads, until that ends.
func script(t *testing.T, answer func(line string) string) string {
	t.Helper()
	l := listen(t)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		buf := make([]byte, 1<<16)
		for {
			n, err := conn.Read(buf)
			for line := range strings.Lines(string(buf[:n])) {
				_, _ = io.WriteString(conn, answer(line))
			}
			if err != nil {
				return
			}
		}
	}()
	return wire.Address(l)
}

func TestCommandLinesThatMakeNoSenseAreRefused(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // in the error
	}{
		{"serve -listen nonsense", `--listen: address "nonsense" is neither host:port nor unix:/path`},
		{"serve -nak 2", "share of NAKs is 2"},
		{"serve -delay 1s -delay-spread 2s", "spread of the delay"},
		{"serve more", `unknown command "more"`},
		{"call -connect unix:", "has no path"},
		{"call -timeout -1s", "--timeout: -1s is negative"},
		{"load -connect 1", "--connect: address"},
		{"load -connections 0", "number of connections is 0"},
		{"load -rate x", `invalid argument "x"`},
		{"demo", `required flag(s) "sidecar" not set`},
		{"demo -sidecar x -http y", "--http: address"},
		{"demo -sidecar x more", `unexpected argument "more"`},
		{"demo -sidecar x more -- -y", `unexpected argument "more"`},
		{"dance", `unknown command "dance"`},
	} {
		got := execute(t.Context(), "", strings.Fields(tt.args)...)
		if got.code != cli.CodeUsage || !strings.Contains(got.stderr, tt.want) || got.stdout != "" {
			t.Errorf("foo %s: got %+v\nwant code %d and %q", tt.args, got, cli.CodeUsage, tt.want)
		}
	}
	if got := execute(t.Context(), "", "call", "two\nlines"); got.code != cli.CodeUsage {
		t.Errorf("DATA with a newline: got %+v", got)
	}
}

func TestTakenAddressIsAFailure(t *testing.T) {
	l := listen(t)
	got := execute(t.Context(), "", "serve", "-listen", wire.Address(l))
	if got.code != cli.CodeFailure || !strings.Contains(got.stderr, wire.Address(l)) {
		t.Errorf("got %+v, want a failure that names the address", got)
	}
}

func TestVersionAndHelpAreThere(t *testing.T) {
	for _, args := range [][]string{
		{"version"}, {"-version"}, {"-help"}, {"serve", "-help"}, {"call", "-h"}, {"load", "--help"}, {"demo", "-help"},
		{"completion", "bash"},
	} {
		if got := execute(t.Context(), "", args...); got.code != cli.CodeOK || got.stdout == "" || got.stderr != "" {
			t.Errorf("foo %v: got %+v", args, got)
		}
	}
}

// reserved returns an address on which nobody listens.
func reserved(t *testing.T) string {
	t.Helper()
	l := listen(t)
	_ = l.Close()
	return wire.Address(l)
}
