package protocol

import (
	"strings"
	"testing"
)

func TestTraceParentIsReadAsTheStandardSays(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for text, want := range map[string]bool{
		good:                                   true,
		strings.Replace(good, "-01", "-00", 1): true,
		strings.Replace(good, "00-", "01-", 1): true,
		"01" + good[2:] + "-more":              true,
		good + "-more":                         false,
		"01" + good[2:] + "more":               false,
		"ff" + good[2:]:                        false,
		strings.ToUpper(good):                  false,
		good[:54]:                              false,
		"":                                     false,
		strings.Replace(good, "4bf92f3577b34da6a3ce929d0e0e4736", strings.Repeat("0", 32), 1): false,
		strings.Replace(good, "00f067aa0ba902b7", strings.Repeat("0", 16), 1):                 false,
		strings.Replace(good, "a3ce", "a3cg", 1):                                              false,
		strings.Replace(good, "-00f", "_00f", 1):                                              false,
	} {
		c, err := ParseTraceParent([]byte(text))
		if (err == nil) != want || c.Valid() != want {
			t.Errorf("%q: got %+v and error %v, want it read: %t", text, c, err, want)
		}
	}
	c, err := ParseTraceParent([]byte(good))
	if err != nil || string(c.AppendTraceParent(nil)) != good || !c.Sampled() {
		t.Errorf("%s was read as %+v, %v", good, c, err)
	}
}

func FuzzTraceParent(f *testing.F) {
	f.Add([]byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseTraceParent(b)
		if err != nil {
			return
		}
		again, err := ParseTraceParent(c.AppendTraceParent(nil))
		if err != nil || again != c {
			t.Fatalf("%q is %+v, and again %+v, %v", b, c, again, err)
		}
	})
}
