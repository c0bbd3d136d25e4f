package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spf13/pflag"

	"github.com/foo-protocol/foo-sidecar/internal/golden"
)

const header = "apiVersion: " + APIVersion + "\nkind: " + Kind + "\n"

func noEnv(string) (string, bool) { return "", false }

// env returns a lookup in the given variables.
func env(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := variables[name]
		return v, ok
	}
}

// flags returns the configuration's flags, parsed from a command line.
func flags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("sidecar", pflag.ContinueOnError)
	BindFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

// write makes a file in a new directory.
func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sidecar.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// loaded returns what the options load, which must be valid.
func loaded(t *testing.T, o Options) Config {
	t.Helper()
	if o.Env == nil {
		o.Env = noEnv
	}
	c, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestShortcutsNeedASingleElement(t *testing.T) {
	file := write(t, header+`
listeners:
  - {name: a, address: ":1", upstream: x}
  - {name: b, address: ":2", upstream: y}
upstreams:
  - {name: x, addresses: [":3"]}
  - {name: y, addresses: [":4"]}
`)
	got := problems(t, Options{
		File:  file,
		Flags: flags(t, "--listen", ":5"),
		Env:   env(map[string]string{"FOO_SIDECAR_LISTEN": ":6", "FOO_SIDECAR_FORWARD": ":7"}),
	})
	want := "--listen: the file has 2 listeners, expected one; set their addresses in the file\n" +
		"FOO_SIDECAR_FORWARD: the file has 2 upstreams, expected one; set their addresses in the file"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// problems returns the words of the *InvalidError that loading gives, with the
// file's name for its path.
func problems(t *testing.T, o Options) string {
	t.Helper()
	if o.Env == nil {
		o.Env = noEnv
	}
	c, err := Load(o)
	if _, ok := errors.AsType[*InvalidError](err); !ok {
		t.Fatalf("got %v, want an *InvalidError", err)
	}
	if diff := cmp.Diff(Config{}, c); diff != "" {
		t.Errorf("a configuration came with the error (-want +got):\n%s", diff)
	}
	if o.File == "" {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), o.File, filepath.Base(o.File))
}

func TestProblemsOfFlagsAndVariablesNameThem(t *testing.T) {
	got := problems(t, Options{
		File:  write(t, header+"log: {level: loud}\nadmin: {address: 5}\n"),
		Flags: flags(t, "--http", "nowhere", "--listen="),
		Env: env(map[string]string{
			"FOO_SIDECAR_DRAIN_TIMEOUT": "10",
			"FOO_SIDECAR_ADMIN_PPROF":   "perhaps",
			"FOO_SIDECAR_FORWARD":       ":0",
			"FOO_SIDECAR_LOG_FORMAT":    "xml",
		}),
	})
	want := `sidecar.yaml:3: log.level: got "loud", expected error, warn, info or debug
sidecar.yaml:4: admin.address: got 5, expected text (in quotes)
--http: "nowhere": missing port in address, expected host:port such as ":8002" or "[::1]:8002", or unix:/path
--listen: no address, expected host:port or unix:/path
FOO_SIDECAR_ADMIN_PPROF: got "perhaps", expected true or false
FOO_SIDECAR_DRAIN_TIMEOUT: got "10", expected a duration such as "3s" or "1m30s"
FOO_SIDECAR_FORWARD: ":0" has port 0, expected the port of a server
FOO_SIDECAR_LOG_FORMAT: got "xml", expected json or console`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOnlyWhatTheFileAloneGotWrongIsFromTheFile(t *testing.T) {
	const bad = header + "log: {level: loud}\n"
	for name, test := range map[string]struct {
		content   string // no file if empty
		args      []string
		variables map[string]string
		want      bool
	}{
		"file":                       {content: bad, want: true},
		"broken file":                {content: "{", want: true},
		"file beside a good flag":    {content: bad, args: []string{"--listen", ":9000"}, want: true},
		"file below a good variable": {content: bad, variables: map[string]string{"FOO_SIDECAR_LOG_LEVEL": "info"}, want: true},
		"circle in the file": {
			content: header + "upstreams: [{addresses: [':8002']}]\n",
			want:    true,
		},
		"flag without a file":    {args: []string{"--listen", "nowhere"}},
		"flag":                   {content: header, args: []string{"--listen", "nowhere"}},
		"variable":               {content: header, variables: map[string]string{"FOO_SIDECAR_LOG_LEVEL": "loud"}},
		"file and flag":          {content: bad, args: []string{"--listen", "nowhere"}},
		"file and variable":      {content: bad, variables: map[string]string{"FOO_SIDECAR_DRAIN_TIMEOUT": "10"}},
		"flag that clashes":      {content: header, args: []string{"--listen", ":8088"}},
		"flag that makes a loop": {content: header, args: []string{"--listen", ":8001"}},
		"flag after more problems than are listed": {
			content: header + strings.Repeat("x: 1\n", 2*maxProblems),
			args:    []string{"--listen", "nowhere"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Flags: flags(t, test.args...), Env: env(test.variables)}
			if test.content != "" {
				o.File = write(t, test.content)
			}
			_, err := Load(o)
			invalid, ok := errors.AsType[*InvalidError](err)
			if !ok {
				t.Fatalf("got %v, want an *InvalidError", err)
			}
			if got := invalid.FromFile(); got != test.want {
				t.Errorf("got %t, want %t, of:\n%v", got, test.want, err)
			}
		})
	}
}

func TestFlagThatMakesACircleIsNamed(t *testing.T) {
	got := problems(t, Options{Flags: flags(t, "--listen", ":8001")})
	want := `upstreams[0].addresses[0]: ":8001" is listeners[0].address itself, ` +
		`so its requests would go round in a circle, expected another server`
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAbsentFileIsAnError(t *testing.T) {
	_, err := Load(Options{File: filepath.Join(t.TempDir(), "absent.yaml"), Env: noEnv})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that the file does not exist", err)
	}
	if _, ok := errors.AsType[*InvalidError](err); ok {
		t.Error("a file that cannot be read was called invalid")
	}
}

func TestJSONIsAccepted(t *testing.T) {
	c := loaded(t, Options{File: write(t, `{
	"apiVersion": "foo-protocol.io/v1alpha1",
	"kind": "SidecarConfig",
	"drain": {"timeout": "1m30s"}
}`)})
	if got := c.Drain.Timeout.String(); got != "1m30s" {
		t.Errorf("got %s, want 1m30s", got)
	}
}

func TestTooLargeAFileIsRefused(t *testing.T) {
	padding := strings.Repeat("#", MaxFileSize-len(header))
	if c := loaded(t, Options{File: write(t, header+padding)}); c.Kind != Kind {
		t.Error("a file of the largest size was not loaded")
	}
	want := "sidecar.yaml: larger than 1048576 bytes, expected a document with apiVersion: foo-protocol.io/v1alpha1"
	if got := problems(t, Options{File: write(t, header+padding+"#")}); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProblemsWithoutEndAreCounted(t *testing.T) {
	got := problems(t, Options{File: write(t, header+strings.Repeat("x: 1\n", 250))})
	lines := strings.Split(got, "\n")
	if last, want := lines[len(lines)-1], "sidecar.yaml: and 150 more problems"; len(lines) != 101 || last != want {
		t.Errorf("got %d lines, the last %q; want 101 and %q", len(lines), last, want)
	}
}

func TestInvalidFilesAreExplained(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.bad.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			got := problems(t, Options{File: file}) + "\n"
			golden.Compare(t, strings.TrimSuffix(file, ".yaml")+".txt", got, "run go test ./config -update and check the difference")
		})
	}
}

func TestInvalidFileStillTellsWhereTheLastGoodOneIs(t *testing.T) {
	_, err := Load(Options{
		File: write(t, header+"log: {level: loud}\ncheckpoint: {path: /data/c.json}\nreload: {onInvalid: fail}\n"),
		Env:  noEnv,
	})
	invalid, ok := errors.AsType[*InvalidError](err)
	if !ok {
		t.Fatalf("got %v, want an *InvalidError", err)
	}
	want := Default()
	want.Checkpoint.Path, want.Reload.OnInvalid = "/data/c.json", OnInvalidFail
	if diff := cmp.Diff(want, invalid.Salvaged); diff != "" {
		t.Errorf("invalid value (-want +got):\n%s", diff)
	}

	_, err = Load(Options{File: write(t, "{"), Env: noEnv, Flags: flags(t, "--recovery-path", "/data/c.json")})
	if invalid, ok = errors.AsType[*InvalidError](err); !ok {
		t.Fatalf("got %v, want an *InvalidError", err)
	}
	want = Default()
	want.Checkpoint.Path = "/data/c.json"
	if diff := cmp.Diff(want, invalid.Salvaged); diff != "" {
		t.Errorf("broken file (-want +got):\n%s", diff)
	}
}

func TestLoadedConfigurationsShareNothing(t *testing.T) {
	file := write(t, header+"upstreams: [{addresses: ['a:1', 'b:2']}]\n")
	first, second := loaded(t, Options{File: file}), loaded(t, Options{File: file})
	first.Listeners[0].Name = "changed"
	first.Upstreams[0].Addresses[0] = "changed:1"
	if diff := cmp.Diff(loaded(t, Options{File: file}), second); diff != "" {
		t.Errorf("a change of one configuration shows in another (-want +got):\n%s", diff)
	}
	first = Default()
	first.Upstreams[0].Addresses[0] = "changed:1"
	if Default().Upstreams[0].Addresses[0] != ":8001" {
		t.Error("a change of one default shows in another")
	}
}
