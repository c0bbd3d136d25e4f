package terminal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// Escape sequences that every terminal of today knows.
const (
	enter = "\x1b[?1049h" + // the alternate screen, which keeps what was there
		"\x1b[?25l" + // no cursor
		"\x1b[?7l" // what is too long is cut, not wrapped
	leave     = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	home      = "\x1b[H"
	clearLine = "\x1b[K"
	clearDown = "\x1b[J"
)

// ErrNoTerminal is what [Open] returns if it was given none.
var ErrNoTerminal = errors.New("standard output is not a terminal")

// Is reports whether f is a terminal.
func Is(f *os.File) bool { return f != nil && term.IsTerminal(int(f.Fd())) }

// Screen is a terminal whose whole screen is drawn on. Use Open.
type Screen struct {
	in, out *os.File
	styled  bool
	restore func() error
	resized <-chan os.Signal
	stop    func()
	close   func() error
}

// Open takes over a terminal until Close. The keys that are pressed can be read
// with Keys, unless in is not a terminal.
func Open(in, out *os.File, getenv func(string) string) (*Screen, error) {
	if !Is(out) || getenv("TERM") == "dumb" {
		return nil, ErrNoTerminal
	}
	restoreOutput, err := prepare(out)
	if err != nil {
		return nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	s := &Screen{in: in, out: out, styled: Styled(out, getenv), restore: func() error { return nil }}
	if Is(in) {
		// Keys come at once and are not shown; Ctrl-C is one of them.
		before, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("prepare the terminal: %w", err), restoreOutput())
		}
		s.restore = func() error { return term.Restore(int(in.Fd()), before) }
	}
	s.resized, s.stop = notifyResize()
	s.close = sync.OnceValue(func() error {
		s.stop()
		_, err := out.WriteString(leave)
		return errors.Join(err, restoreOutput(), s.restore())
	})
	if _, err := out.WriteString(enter); err != nil {
		return nil, errors.Join(fmt.Errorf("draw on the terminal: %w", err), s.close())
	}
	return s, nil
}

// Close gives the terminal back as it was.
func (s *Screen) Close() error { return s.close() }

// Resized tells when the terminal may have another size, on systems that tell.
func (s *Screen) Resized() <-chan os.Signal { return s.resized }

// Size returns the number of columns and rows, or a guess if nobody knows.
func (s *Screen) Size() (columns, rows int) {
	columns, rows, err := term.GetSize(int(s.out.Fd()))
	if err != nil || columns <= 0 || rows <= 0 {
		return 80, 24
	}
	return columns, rows
}

// Draw shows lines in place of those before, as far as they fit.
func (s *Screen) Draw(lines []Line) error {
	columns, rows := s.Size()
	var b bytes.Buffer
	b.WriteString(home)
	for i, line := range lines[:min(len(lines), rows)] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line.Render(columns, s.styled))
		b.WriteString(clearLine)
	}
	b.WriteString(clearDown)
	// In one go, so that nobody sees half a screen.
	if _, err := s.out.Write(b.Bytes()); err != nil {
		return fmt.Errorf("draw on the terminal: %w", err)
	}
	return nil
}

// Key is a key that was pressed: the character that it makes, or one of those
// below.
type Key rune

// The keys that make no character, and one that makes none to be seen.
const (
	KeyUp   Key = -1
	KeyDown Key = -2
	CtrlC   Key = 3
)

// Keys sends the keys that are pressed, and closes keys at the end of the
// input. It ends with the process: a reading of a terminal can't be called
// off. Without a terminal to read from it does nothing.
func (s *Screen) Keys() <-chan Key {
	keys := make(chan Key)
	if Is(s.in) {
		go readKeys(s.in, keys)
	}
	return keys
}

// readKeys reads keys until the end of r.
func readKeys(r io.Reader, keys chan<- Key) {
	defer close(keys)
	buf := make([]byte, 64)
	for {
		n, err := r.Read(buf)
		for _, key := range parseKeys(buf[:n]) {
			keys <- key
		}
		if err != nil {
			return
		}
	}
}

// parseKeys returns the keys of which p tells. An escape sequence comes in one
// piece; those that mean nothing here are left out.
func parseKeys(p []byte) (keys []Key) {
	for len(p) > 0 {
		if p[0] != '\x1b' {
			if p[0] < 0x80 {
				keys = append(keys, Key(p[0]))
			}
			p = p[1:]
			continue
		}
		end := 1
		if len(p) > 1 && (p[1] == '[' || p[1] == 'O') {
			end = 2
			for end < len(p) && (p[end] < 0x40 || p[end] > 0x7e) {
				end++
			}
			end = min(end+1, len(p))
		}
		switch p[end-1] {
		case 'A':
			keys = append(keys, KeyUp)
		case 'B':
			keys = append(keys, KeyDown)
		}
		p = p[end:]
	}
	return keys
}
