package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// document returns a file that sets one key of telemetry. The value is written
// as JSON, and so is text in quotes.
func document(t *testing.T, key string, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	path := strings.Split(key, ".")
	return header + strings.Join(path, ": {") + ": " + string(text) + strings.Repeat("}", len(path)-1) + "\n"
}

func TestRatioIsANumberFromZeroToOne(t *testing.T) {
	const key = "telemetry.pairs.ratio"
	const variable = "FOO_SIDECAR_TELEMETRY_PAIRS_RATIO"
	for text, want := range map[string]float64{"0": 0, "1": 1, "0.5": 0.5, ".25": 0.25, "1e-3": 0.001, "1.0": 1} {
		file := write(t, header+"telemetry: {pairs: {ratio: "+text+"}}\n")
		if got := loaded(t, Options{File: file}).Telemetry.Pairs.Ratio; got != want {
			t.Errorf("ratio: %s: got %v, want %v", text, got, want)
		}
		o := Options{Env: env(map[string]string{variable: text})}
		if got := loaded(t, o).Telemetry.Pairs.Ratio; got != want {
			t.Errorf("%s=%s: got %v, want %v", variable, text, got, want)
		}
	}
	for text, want := range map[string]string{
		".nan":  "got .nan, expected a number",
		".inf":  "got .inf, expected a number",
		"-.inf": "got -.inf, expected a number",
		"NaN":   `got "NaN", expected a number`,
		"1e999": `got "1e999", expected a number`,
		"half":  `got "half", expected a number`,
		"-0.1":  "got -0.1, expected a number from 0 to 1",
		"2":     "got 2, expected a number from 0 to 1",
	} {
		file := write(t, header+"telemetry: {pairs: {ratio: "+text+"}}\n")
		if got, want := problems(t, Options{File: file}), "sidecar.yaml:3: "+key+": "+want; got != want {
			t.Errorf("ratio: %s: got %q, want %q", text, got, want)
		}
		o := Options{Env: env(map[string]string{variable: text})}
		if got, want := problems(t, o), variable+": "+want; got != want {
			t.Errorf("%s=%s: got %q, want %q", variable, text, got, want)
		}
	}
}

func TestSlowIsTheP99OrNothingOrADuration(t *testing.T) {
	type threshold struct {
		d       time.Duration
		p99, ok bool
	}
	for text, want := range map[string]threshold{
		"p99":    {p99: true},
		"none":   {},
		"50ms":   {d: 50 * time.Millisecond, ok: true},
		"1m30s":  {d: 90 * time.Second, ok: true},
		"1500us": {d: 1500 * time.Microsecond, ok: true},
	} {
		file := write(t, document(t, "telemetry.pairs.slow", text))
		var got threshold
		got.d, got.p99, got.ok = loaded(t, Options{File: file}).Telemetry.Pairs.Slow.Threshold()
		if got != want {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
	const expected = `expected p99, none or a positive duration such as "50ms"`
	for _, value := range []any{"0s", "0ms", "-5ms", "50", "P99", "p95", "off", 50, 0, true} {
		got := problems(t, Options{File: write(t, document(t, "telemetry.pairs.slow", value))})
		shown := fmt.Sprint(value)
		if text, ok := value.(string); ok {
			shown = fmt.Sprintf("%q", text)
		}
		if want := "sidecar.yaml:3: telemetry.pairs.slow: got " + shown + ", " + expected; got != want {
			t.Errorf("%v: got %q, want %q", value, got, want)
		}
	}
}

func TestPatternHasOneGroup(t *testing.T) {
	const key = "telemetry.traces.context.pattern"
	for _, text := range []string{"", "(a)", `^(?:x|y)=(?P<parent>[0-9a-f-]{55}),`, `\((.*)\)`} {
		if got := loaded(t, Options{File: write(t, document(t, key, text))}).Telemetry.Traces.Context.Pattern; got != text {
			t.Errorf("%s: got %q", text, got)
		}
	}
	const expected = "expected a regular expression (RE2) with exactly one group"
	for text, want := range map[string]string{
		"abc":          "got 0 groups, " + expected + "; (?:...) groups without counting",
		"(a)(b)":       "got 2 groups, " + expected + "; (?:...) groups without counting",
		"(a":           "missing closing ), " + expected,
		"(?=a)(b)":     "invalid or unsupported Perl syntax, " + expected,
		"(a)\\1":       "invalid escape sequence, " + expected,
		"(a{1,99999})": "invalid repeat count, " + expected,
		"(a)\n":        `characters that cannot be printed, expected escapes such as \t for them`,
	} {
		got := problems(t, Options{File: write(t, document(t, key, text))})
		if want := fmt.Sprintf("sidecar.yaml:3: %s: %q: %s", key, text, want); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestEndpointIsTheURLOfACollector(t *testing.T) {
	const key = "telemetry.otlp.endpoint"
	for _, text := range []string{
		"", "http://collector:4317", "https://otel.example.org", "http://10.0.0.1:4318/base", "http://[::1]:4317/",
		"http://collector.observability.svc.cluster.local.:4317",
	} {
		if got := loaded(t, Options{File: write(t, document(t, key, text))}).Telemetry.OTLP.Endpoint; got != text {
			t.Errorf("%s: got %q", text, got)
		}
	}
	const expected = ", expected a URL such as http://host:4317"
	for text, want := range map[string]string{
		"collector:4317":           "begins with neither http:// nor https://" + expected,
		"//collector:4317":         "begins with neither http:// nor https://" + expected,
		"unix:///run/otlp.sock":    "begins with neither http:// nor https://" + expected,
		"10.0.0.1:4317":            "not a URL" + expected,
		"http://collector:grpc":    "not a URL" + expected,
		"http://":                  "the host is neither an IP address nor a DNS name" + expected,
		"http:collector":           "the host is neither an IP address nor a DNS name" + expected,
		"http://:4317":             "the host is neither an IP address nor a DNS name" + expected,
		"http://10.0.0.256":        "the host is neither an IP address nor a DNS name" + expected,
		"http://collector:0":       "the port is not a number from 1 to 65535" + expected,
		"http://collector:65536":   "the port is not a number from 1 to 65535" + expected,
		"http://collector?token=1": "a query or a fragment, of which OTLP makes no use" + expected,
		"http://collector#a":       "a query or a fragment, of which OTLP makes no use" + expected,
		"http://collector/\u2028":  "characters that cannot be printed" + expected,
	} {
		got := problems(t, Options{File: write(t, document(t, key, text))})
		if want := fmt.Sprintf("sidecar.yaml:3: %s: %q: %s", key, text, want); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestCredentialsInAnEndpointAreRefusedAndNotShown(t *testing.T) {
	for _, text := range []string{"http://user:hunter2@collector:4317", "http://user:hunter2@:bad port", "hunter2@collector"} {
		got := problems(t, Options{File: write(t, document(t, "telemetry.otlp.endpoint", text))})
		if strings.Contains(got, "hunter2") || !strings.Contains(got, "credentials") {
			t.Errorf("%s: got %q", text, got)
		}
	}
}

func TestInjectNeedsAnExporter(t *testing.T) {
	const variable = "FOO_SIDECAR_TELEMETRY_TRACES_CONTEXT_INJECT"
	none := write(t, header+"telemetry: {traces: {exporter: none, context: {extract: true, strip: true}}}\n")
	loaded(t, Options{File: none}) // these two need no spans

	inject := env(map[string]string{variable: "true"})
	want := variable + ": got true while telemetry.traces.exporter is none, so there are no spans whose context could be written, " +
		"expected false or an exporter"
	if got := problems(t, Options{File: none, Env: inject}); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, exporter := range []string{"auto", "otlp"} {
		loaded(t, Options{File: write(t, document(t, "telemetry.traces.exporter", exporter)), Env: inject})
	}
}
