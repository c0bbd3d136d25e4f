package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWithoutAnythingTheDefaultsApply(t *testing.T) {
	if diff := cmp.Diff(Default(), loaded(t, Options{})); diff != "" {
		t.Errorf("no file (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Default(), loaded(t, Options{File: write(t, header)})); diff != "" {
		t.Errorf("file without a value (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Default(), loaded(t, Options{Flags: flags(t)})); diff != "" {
		t.Errorf("no flag set (-want +got):\n%s", diff)
	}
}

func TestDefaultsAreTheHistoricOnes(t *testing.T) {
	c := Default()
	got := []string{c.Listeners[0].Address, c.Upstreams[0].Addresses[0], c.Admin.Address, c.Checkpoint.Path}
	want := []string{":8002", ":8001", "0.0.0.0:8088", ".data/recovery.json"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryLayerWinsOverTheOnesBelow(t *testing.T) {
	type step struct {
		file string
		env  map[string]string
		args []string
		want string
	}
	for _, s := range []struct {
		flag, variable, long, file string
		value                      func(Config) string
	}{
		{
			"listen", "FOO_SIDECAR_LISTEN", "", "listeners: [{address: %}]",
			func(c Config) string { return c.Listeners[0].Address },
		},
		{
			"forward", "FOO_SIDECAR_FORWARD", "", "upstreams: [{addresses: [%]}]",
			func(c Config) string { return strings.Join(c.Upstreams[0].Addresses, " ") },
		},
		{
			"http", "FOO_SIDECAR_HTTP", "FOO_SIDECAR_ADMIN_ADDRESS", "admin: {address: %}",
			func(c Config) string { return c.Admin.Address },
		},
		{
			"recovery-path", "FOO_SIDECAR_RECOVERY_PATH", "FOO_SIDECAR_CHECKPOINT_PATH", "checkpoint: {path: %}",
			func(c Config) string { return c.Checkpoint.Path },
		},
	} {
		fromFile := strings.ReplaceAll(s.file, "%", `"file:1"`)
		fromEnv := map[string]string{s.variable: "env:1"}
		flag := []string{"--" + s.flag, "flag:1"}
		steps := []step{
			{want: s.value(Default())},
			{file: fromFile, want: "file:1"},
			{file: fromFile, env: map[string]string{s.variable: ""}, want: "file:1"},
			{file: fromFile, env: fromEnv, want: "env:1"},
			{env: fromEnv, want: "env:1"},
			{file: fromFile, env: fromEnv, args: flag, want: "flag:1"},
			{file: fromFile, args: flag, want: "flag:1"},
			{args: flag, want: "flag:1"},
		}
		if s.long != "" {
			both := map[string]string{s.variable: "short:1", s.long: "long:1"}
			steps = append(steps, step{file: fromFile, env: both, want: "long:1"})
		}
		for _, step := range steps {
			c := loaded(t, Options{
				File:  write(t, header+step.file+"\n"),
				Env:   env(step.env),
				Flags: flags(t, step.args...),
			})
			if got := s.value(c); got != step.want {
				t.Errorf("%+v: got %q", step, got)
			}
		}
	}
}

func TestFlagNamesTheFile(t *testing.T) {
	file := write(t, header+"log: {level: debug}\n")
	o := Options{Flags: flags(t, "--config", file)}
	if got := o.Path(); got != file {
		t.Errorf("path: got %q, want %q", got, file)
	}
	if got := loaded(t, o).Log.Level; got != LogDebug {
		t.Errorf("level: got %q, want that of the file", got)
	}
	other := write(t, header+"log: {level: error}\n")
	if got := loaded(t, Options{File: other, Flags: o.Flags}).Log.Level; got != LogError {
		t.Errorf("level: got %q, want that of Options.File", got)
	}
}

func TestEmptyRecoveryPathTurnsCheckpointsOff(t *testing.T) {
	c := loaded(t, Options{Flags: flags(t, "--recovery-path=")})
	if c.Checkpoint.Path != "" {
		t.Errorf("got %q, want none", c.Checkpoint.Path)
	}
	c = loaded(t, Options{File: write(t, header+"checkpoint: {path: ''}\n")})
	if c.Checkpoint.Path != "" {
		t.Errorf("got %q, want none", c.Checkpoint.Path)
	}
}

// What a variable is set to follows from the key's schema, so that no key can
// be forgotten.
func TestEveryScalarOutsideListsHasAVariable(t *testing.T) {
	tested := 0
	for _, leaf := range leaves("", generateSchema(t)) {
		if strings.Contains(leaf.path, "[]") || leaf.path == "apiVersion" || leaf.path == "kind" {
			continue
		}
		tested++
		name := "FOO_SIDECAR_" + strings.ToUpper(strings.ReplaceAll(leaf.path, ".", "_"))
		want := "other:77"
		switch s := leaf.schema; {
		case len(s.Enum) > 0:
			others := slices.DeleteFunc(slices.Clone(s.Enum), func(v any) bool { return v == s.Default })
			want = others[0].(string)
		case s.Type == "boolean":
			want = strconv.FormatBool(s.Default != true)
		case s.Type == "number":
			want = "0.77"
		case s.Type == "integer":
			want = "77"
		case s.Pattern == durationPattern:
			want = "7s"
		case s.Pattern == slowPattern:
			want = "77ms"
		case s.Format == "regex":
			want = "(77)"
		case s.Pattern != "":
			want = "https://other:77"
		}
		c := loaded(t, Options{Env: env(map[string]string{name: want})})
		if got := fmt.Sprint(at(jsonOf(t, c), leaf.path)); got != want {
			t.Errorf("%s=%s: got %s", name, want, got)
		}
	}
	if tested < 25 {
		t.Errorf("only %d keys were found to test", tested)
	}
}

// at returns the value at a dotted path of a JSON document.
func at(document any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		document = document.(map[string]any)[name]
	}
	return document
}

func TestVariablesOfOthersAreIgnored(t *testing.T) {
	// Kubernetes sets these for a Service that is called foo-sidecar.
	for name, value := range map[string]string{
		"FOO_SIDECAR_PORT":                "tcp://10.0.0.1:8002",
		"FOO_SIDECAR_SERVICE_HOST":        "10.0.0.1",
		"FOO_SIDECAR_SERVICE_PORT":        "8002",
		"FOO_SIDECAR_PORT_8002_TCP_PROTO": "tcp",
	} {
		t.Setenv(name, value)
	}
	c, err := Load(Options{}) // with the real environment
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRealEnvironmentIsTheDefault(t *testing.T) {
	t.Setenv("FOO_SIDECAR_LOG_LEVEL", "debug")
	c, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Log.Level != LogDebug {
		t.Errorf("got %q, want debug", c.Log.Level)
	}
}

func TestWhatIsLeftOutOfAListElementGetsItsDefault(t *testing.T) {
	c := loaded(t, Options{File: write(t, header+`
listeners:
  - maxConnections: 7
upstreams:
  - name: elsewhere
    addresses: ["a:1", "b:2"]
    backoff: {max: 9s}
`)})
	want := Default()
	want.Listeners[0].MaxConnections = 7
	want.Listeners[0].Upstream = "elsewhere" // there is no other
	want.Upstreams[0].Name = "elsewhere"
	want.Upstreams[0].Addresses = []string{"a:1", "b:2"}
	want.Upstreams[0].Backoff.Max = Duration(9 * time.Second)
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestElementsOfAListDoNotInheritFromEachOther(t *testing.T) {
	c := loaded(t, Options{File: write(t, header+`
listeners:
  - {name: a, address: ":1", keepAlive: 5s, onLoss: close}
  - {name: b, address: ":2"}
upstreams:
  - {name: default, addresses: [":3", ":4"]}
`)})
	b := defaultListener()
	b.Name, b.Address, b.Upstream = "b", ":2", "default"
	if diff := cmp.Diff(b, c.Listeners[1]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
