package terminal

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Style is how a piece of text looks.
type Style uint8

// The styles. What is good, bad or worth a warning has its colour.
const (
	Plain Style = iota
	Dim
	Bold
	Good
	Warn
	Bad
	Inverse
)

// codes are the parameters of the escape sequences.
var codes = [...]string{Plain: "", Dim: "2", Bold: "1", Good: "32", Warn: "33", Bad: "1;31", Inverse: "7"}

// Span is a piece of text in one style. The text must be safe: see [Safe].
type Span struct {
	Style Style
	Text  string
}

// Line is what stands on one row.
type Line []Span

// Text returns a line in one style.
func Text(style Style, format string, args ...any) Line {
	return Line{{style, fmt.Sprintf(format, args...)}}
}

// Width returns the number of columns that s takes, if it is safe. Characters
// that are wider than others are not told apart.
func Width(s string) int { return utf8.RuneCountInString(s) }

// Width returns the number of columns of the line.
func (l Line) Width() int {
	w := 0
	for _, span := range l {
		w += Width(span.Text)
	}
	return w
}

// Render returns the line with the escape sequences for its styles, or without
// any, cut to a number of columns; 0 cuts nothing.
func (l Line) Render(columns int, styled bool) string {
	var b strings.Builder
	left := columns
	for _, span := range l {
		text := span.Text
		if columns > 0 {
			text = Cut(text, left)
			left -= Width(text)
		}
		code := codes[span.Style]
		switch {
		case text == "":
		case styled && code != "":
			b.WriteString("\x1b[" + code + "m" + text + "\x1b[m")
		default:
			b.WriteString(text)
		}
	}
	return b.String()
}

// Cut returns as much of s as fits into a number of columns. What is cut ends
// in an ellipsis.
func Cut(s string, columns int) string {
	if Width(s) <= columns {
		return s
	}
	if columns <= 0 {
		return ""
	}
	runes := []rune(s)
	return string(runes[:columns-1]) + "…"
}

// Safe returns s with everything escaped that would not simply appear: control
// characters, with which a stranger could move the cursor, change colours or
// feed the terminal answers, characters that change the direction of writing,
// and bytes that are no UTF-8.
func Safe(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}

// SafeJSON returns valid JSON in which everything is escaped that would not
// simply appear. Its meaning stays the same; bytes that are no UTF-8 become
// what a reader of JSON makes of them anyhow.
func SafeJSON(doc []byte) []byte {
	out := make([]byte, 0, len(doc))
	for i := 0; i < len(doc); {
		r, size := utf8.DecodeRune(doc[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, `\ufffd`...)
		case r == '\n' || r == '\t' || r == '\r' || strconv.IsPrint(r):
			out = append(out, doc[i:i+size]...)
		case r > 0xffff: // written as two halves
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += size
	}
	return out
}

// Styled reports whether what is written to f is seen by somebody who wants
// colours: it is a terminal that knows them, and https://no-color.org does not
// say otherwise.
func Styled(f *os.File, getenv func(string) string) bool {
	return Is(f) && understands(f) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}
