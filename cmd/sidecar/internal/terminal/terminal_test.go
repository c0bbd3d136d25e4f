package terminal

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestLineIsCutToTheScreen(t *testing.T) {
	line := Line{{Plain, "größe "}, {Bad, "12 km"}, {Dim, ""}, {Plain, "!"}}
	for _, tc := range []struct {
		columns int
		styled  bool
		want    string
	}{
		{0, false, "größe 12 km!"},
		{12, false, "größe 12 km!"},
		{12, true, "größe \x1b[1;31m12 km\x1b[m!"},
		{8, false, "größe 1…"},
		{8, true, "größe \x1b[1;31m1…\x1b[m"},
		{4, true, "grö…"},
		{1, true, "…"},
	} {
		if got := line.Render(tc.columns, tc.styled); got != tc.want {
			t.Errorf("%d columns: got %q, want %q", tc.columns, got, tc.want)
		}
	}
}

func TestWhatWouldNotSimplyAppearIsEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, größer, 世界":    "plain text, größer, 世界",
		"\x1b]0;title\a":            `\x1b]0;title\a`,
		"a\tb\r\nc\x7f":             `a\tb\r\nc\x7f`,
		"\u009b2J":                  `\u009b2J`,
		"\u202eevil\u2066":          `\u202eevil\u2066`,
		"not UTF-8: \xff\xc3(":      `not UTF-8: \xff\xc3(`,
		"a replacement: \ufffd!":    "a replacement: \ufffd!",
		"zero\u200bwidth\U000e0001": `zero\u200bwidth\U000e0001`,
	} {
		if got := Safe(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestSafeJSONMeansTheSame(t *testing.T) {
	const plain = "{\"a\": [1, \"größer 世界 <&>\"]}\n"
	if got := SafeJSON([]byte(plain)); string(got) != plain {
		t.Errorf("got %q, want no change of %q", got, plain)
	}
	in := "{\"a\":\"\u009b\u202e\x7f\U000e0001\x9b\"}"
	if got, want := string(SafeJSON([]byte(in))), `{"a":"\u009b\u202e\u007f\udb40\udc01\ufffd"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzSafe(f *testing.F) {
	f.Add("\x1b[2J\xff\u202e")
	f.Add("größer")
	f.Fuzz(func(t *testing.T, s string) {
		safe := Safe(s)
		if !utf8.ValidString(safe) || strings.ContainsFunc(safe, func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("%q: became %q", s, safe)
		}
		if again := Safe(safe); again != safe {
			t.Errorf("%q: became %q, then %q", s, safe, again)
		}
		doc, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var got, want string
		if err := json.Unmarshal(SafeJSON(doc), &got); err != nil {
			t.Fatalf("%s: became %s: %v", doc, SafeJSON(doc), err)
		}
		if err := json.Unmarshal(doc, &want); err != nil || got != want {
			t.Errorf("%s: means %q, want %q", doc, got, want)
		}
	})
}

func TestKeysAreToldFromEscapeSequences(t *testing.T) {
	keys := make(chan Key, 16)
	readKeys(bytes.NewReader([]byte("q\x03\x1b[A\x1bOB\x1b[1;5A\x1b[200~\x1bsä\x1b[")), keys)
	var got []Key
	for key := range keys {
		got = append(got, key)
	}
	want := []Key{'q', CtrlC, KeyUp, KeyDown, KeyUp, 's'}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("\x1b[A\x1b\x1b[\xff"))
	f.Fuzz(func(_ *testing.T, p []byte) { parseKeys(p) })
}

func TestFileIsNoTerminal(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	noEnv := func(string) string { return "" }
	if Is(file) || Is(nil) || Styled(file, noEnv) {
		t.Error("a file is taken for a terminal")
	}
	if _, err := Open(file, file, noEnv); !errors.Is(err, ErrNoTerminal) {
		t.Errorf("open: got %v, want %v", err, ErrNoTerminal)
	}
	if info, err := file.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("something was written: %v, %v", info, err)
	}
}
