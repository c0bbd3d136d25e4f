package foo

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

const (
	parentText = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	spanText   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// strip and inject do with a whole line what a session does.
func strip(line string, pattern *regexp.Regexp) string {
	at := FindContext([]byte(line), pattern)
	return line[:at.From] + line[at.To:]
}

func inject(line string, c protocol.TraceContext, pattern *regexp.Regexp) string {
	if at := FindContext([]byte(line), pattern); at.Context.Valid() {
		return line[:at.At] + string(c.AppendTraceParent(nil)) + line[at.End:]
	}
	return string(InsertContext(nil, []byte(line), c))
}

func TestVectorsOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```json\n")
	block, _, _ = strings.Cut(block, "```")
	span, err := protocol.ParseTraceParent([]byte(spanText))
	if err != nil {
		t.Fatal(err)
	}
	vectors := 0
	for line := range strings.Lines(block) {
		var v [3]string
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got := ""
		switch v[1] {
		case "strip":
			got = strip(v[0], nil)
		case "inject":
			got = inject(v[0], span, nil)
		}
		if got != v[2] {
			t.Errorf("%s %q: got %q, want %q", v[1], v[0], got, v[2])
		}
		vectors++
	}
	if vectors < 10 {
		t.Errorf("docs/protocol.md has %d vectors", vectors)
	}
}

func TestAPatternFindsAContextAnywhere(t *testing.T) {
	pattern := regexp.MustCompile(`;tp="([^"]*)"`)
	line := `REQ 1 hello;tp="` + parentText + `" you` + "\n"
	at := FindContext([]byte(line), pattern)
	if got := string(at.Context.AppendTraceParent(nil)); got != parentText {
		t.Errorf("found %s", got)
	}
	if got, want := strip(line, pattern), "REQ 1 hello you\n"; got != want {
		t.Errorf("stripped: got %q, want %q", got, want)
	}
	if got, want := inject(line, at.Context, pattern), line; got != want {
		t.Errorf("injected: got %q, want %q", got, want)
	}
	for _, none := range []string{"REQ 1 hello\n", `REQ 1 ;tp=""` + "\n", `REQ 1 ;tp="` + parentText[1:] + `"` + "\n", "REQ 1"} {
		if got := FindContext([]byte(none), pattern); got != (Place{}) {
			t.Errorf("%q: found %+v", none, got)
		}
	}
}

// FuzzContext holds that whatever a request looks like, it stays one request of
// the same Seq, and that what is put in is found and can be taken out again.
func FuzzContext(f *testing.F) {
	for _, line := range []string{"REQ 1 hello", "REQ 1", "REQ +7 \t x\r", "REQ 1 traceparent=" + parentText, "REQ 1 traceparent=" + parentText + " x"} {
		f.Add(line)
	}
	span, err := protocol.ParseTraceParent([]byte(spanText))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		line, _, _ = strings.Cut(line, "\n")
		line += "\n"
		before := decode(t, new(Decoder), []byte(line), 0)[0]
		if before.Kind != protocol.Request {
			return
		}
		for _, after := range []string{strip(line, nil), inject(line, span, nil)} {
			got := decode(t, new(Decoder), []byte(after), 0)
			if len(got) != 1 || got[0].Kind != protocol.Request || got[0].ID != before.ID {
				t.Fatalf("%q became %q: %+v", line, after, got)
			}
		}
		with := inject(line, span, nil)
		if got := FindContext([]byte(with), nil); got.Context != span {
			t.Fatalf("%q became %q, in which %+v is found", line, with, got)
		}
	})
}
