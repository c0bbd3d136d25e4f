package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/foo-protocol/foo-sidecar/internal/golden"
)

const annotated = "sidecar.yaml"

// parsed returns a YAML file's content as JSON tools see it.
func parsed(t *testing.T, file string) any {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := yaml.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	return jsonOf(t, document)
}

func TestAnnotatedFileHoldsTheDefaults(t *testing.T) {
	if diff := cmp.Diff(Default(), loaded(t, Options{File: annotated})); diff != "" {
		t.Errorf("%s is not the default configuration (-default +file):\n%s", annotated, diff)
	}
}

func TestAnnotatedFileHasEveryKey(t *testing.T) {
	want := make(map[string]bool)
	for _, leaf := range leaves("", generateSchema(t)) {
		want[leaf.path] = true
	}
	got := make(map[string]bool)
	collectKeys(got, "", parsed(t, annotated))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys of %s (-schema +file):\n%s", annotated, diff)
	}
}

// collectKeys collects the paths of all values of a document.
func collectKeys(paths map[string]bool, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			collectKeys(paths, strings.TrimPrefix(path+"."+key, "."), inner)
		}
	case []any:
		if _, ok := v[0].(map[string]any); !ok {
			paths[path] = true
			return
		}
		for _, inner := range v {
			collectKeys(paths, path+"[]", inner)
		}
	default:
		paths[path] = true
	}
}

func TestSchemaAcceptsWhatLoads(t *testing.T) {
	schema := compiledSchema(t)
	if err := schema.Validate(parsed(t, annotated)); err != nil {
		t.Errorf("%s: %v", annotated, err)
	}
	effective, err := Marshal(Default())
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(parsed(t, write(t, string(effective)))); err != nil {
		t.Errorf("the effective document: %v", err)
	}
	if err := schema.Validate(parsed(t, write(t, header))); err != nil {
		t.Errorf("the shortest document: %v", err)
	}
}

func TestSchemaRefusesWhatHasTheWrongForm(t *testing.T) {
	schema := compiledSchema(t)
	for _, name := range []string{
		"unknown-keys", "telemetry-types", "wrong-types", "list-values", "nulls", "empty-values",
		"no-version", "other-version", "version-wrong-type", "not-a-mapping", "text", "on-one-line",
	} {
		file := filepath.Join("testdata", name+".bad.yaml")
		if err := schema.Validate(parsed(t, file)); err == nil {
			t.Errorf("%s: accepted", file)
		}
	}
}

func compiledSchema(t *testing.T) *validator.Schema {
	t.Helper()
	document, err := validator.UnmarshalJSON(strings.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := validator.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestMarshalWritesEveryKeyAndLoadsAgain(t *testing.T) {
	want := loaded(t, Options{File: write(t, header+`
listeners:
  - {name: "0666", address: "unix:/run/'foo'.sock", socketMode: "0600", upstream: "true"}
  - {name: b, address: "[::1]:9000", upstream: "null", idleTimeout: 1h, onLoss: close}
upstreams:
  - {name: "true", addresses: ["a:1", ":8001"]}
  - {name: "null", addresses: ["unix:/run/b c.sock"], connectTimeout: 1500ms, keepAlive: 0s}
checkpoint: {path: ""}
telemetry:
  pairs: {ratio: 1, slow: 1500us, payload: show}
  traces: {context: {extract: true, pattern: '^\s*"?trace(?:parent)?=([^\s;]{55})\b'}}
  otlp: {endpoint: "https://[::1]:4318/v1", protocol: http/protobuf}
`)})
	effective, err := Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, string(effective))
	if diff := cmp.Diff(want, loaded(t, Options{File: file})); diff != "" {
		t.Errorf("(-want +loaded again):\n%s", diff)
	}
	keys, all := make(map[string]bool), make(map[string]bool)
	collectKeys(keys, "", parsed(t, file))
	collectKeys(all, "", parsed(t, annotated))
	if diff := cmp.Diff(all, keys); diff != "" {
		t.Errorf("keys (-all +written):\n%s", diff)
	}
}

func TestEffectiveDocumentIsReadable(t *testing.T) {
	got, err := Marshal(Default())
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, filepath.Join("testdata", "default.effective.yaml"), string(got), "run go test ./config -update and check the difference")
}

func TestHashDependsOnTheEffectiveValuesOnly(t *testing.T) {
	hash := Hash(Default())
	if len(hash) != 12 {
		t.Errorf("hash %q: got %d digits, want 12", hash, len(hash))
	}
	if got := Hash(loaded(t, Options{File: annotated})); got != hash {
		t.Errorf("the defaults written out: got %s, want %s", got, hash)
	}
	if got := Hash(loaded(t, Options{File: write(t, header+"drain: {timeout: 11s}\n")})); got == hash {
		t.Error("another timeout has the same hash")
	}
	whole := loaded(t, Options{File: write(t, header+"telemetry: {pairs: {ratio: 1, slow: 60s}}\n")})
	float := loaded(t, Options{File: write(t, header+"telemetry: {pairs: {ratio: 1.0, slow: 1m0s}}\n")})
	if Hash(whole) != Hash(float) {
		t.Error("the same values, written in other ways, have another hash")
	}
}

func TestDurationsAreWrittenShort(t *testing.T) {
	for text, want := range map[string]string{
		"0s": "0s", "60s": "1m", "90s": "1m30s", "3600s": "1h", "1h0m5s": "1h0m5s", "1.5s": "1.5s", "10m": "10m", "100ms": "100ms",
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if d.String() != want {
			t.Errorf("%s: got %s, want %s", text, d, want)
		}
	}
}
