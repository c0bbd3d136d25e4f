package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzLoad holds that no file makes loading panic, and that what loads is the
// same when it was written and loaded again.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, annotated) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkLoad(t, data, noEnv)
	})
}

// FuzzSettings holds the same of the values of variables, and so of flags.
func FuzzSettings(f *testing.F) {
	f.Add(":8002", "unix:/run/foo.sock", "1h", "a b")
	f.Add("[fe80::1%eth0]:1", "host:1", "9ns", "\xff\x00")
	f.Fuzz(func(t *testing.T, listen, forward, timeout, path string) {
		checkLoad(t, []byte(header), env(map[string]string{
			"FOO_SIDECAR_LISTEN":        listen,
			"FOO_SIDECAR_FORWARD":       forward,
			"FOO_SIDECAR_DRAIN_TIMEOUT": timeout,
			"FOO_SIDECAR_RECOVERY_PATH": path,
		}))
	})
}

// FuzzTelemetrySettings holds the same of those that have a form of their own.
func FuzzTelemetrySettings(f *testing.F) {
	f.Add("0.5", "p99", "(a)", "http://collector:4317")
	f.Add("1", "1h0.5us", `[\w]+(?P<parent>\pL)`, "https://[fe80::1%25eth0]/base")
	f.Add(".nan", "0s", "(a", "http://user:password@host?x#y")
	f.Add("-.inf", "none", "\xff\x00", "http://\u2028:70000")
	f.Fuzz(func(t *testing.T, ratio, slow, pattern, endpoint string) {
		checkLoad(t, []byte(header), env(map[string]string{
			"FOO_SIDECAR_TELEMETRY_PAIRS_RATIO":            ratio,
			"FOO_SIDECAR_TELEMETRY_PAIRS_SLOW":             slow,
			"FOO_SIDECAR_TELEMETRY_TRACES_CONTEXT_PATTERN": pattern,
			"FOO_SIDECAR_TELEMETRY_OTLP_ENDPOINT":          endpoint,
		}))
	})
}

// checkLoad loads a file and holds that it either says what is wrong, on one
// line a problem, or gives a configuration that can be written and loaded again.
func checkLoad(t *testing.T, data []byte, lookup func(string) (string, bool)) {
	t.Helper()
	c, err := load("fuzz.yaml", data, Options{Env: lookup})
	if invalid, ok := errors.AsType[*InvalidError](err); ok {
		if lines := strings.Split(err.Error(), "\n"); len(lines) != len(invalid.Problems) {
			t.Fatalf("%d problems on %d lines:\n%v", len(invalid.Problems), len(lines), err)
		}
		return
	}
	if err != nil {
		t.Fatalf("got %v, want an *InvalidError", err)
	}
	effective, err := Marshal(c)
	if err != nil {
		t.Fatalf("loaded, but cannot be written: %v", err)
	}
	again, err := load("again.yaml", effective, Options{Env: noEnv})
	if err != nil {
		t.Fatalf("loaded, but not again: %v\n%s", err, effective)
	}
	if diff := cmp.Diff(c, again); diff != "" {
		t.Fatalf("not the same when loaded again (-first +again):\n%s", diff)
	}
}
