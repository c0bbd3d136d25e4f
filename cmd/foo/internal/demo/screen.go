package demo

import (
	"bytes"
	"io"
	"sync"
)

// eraseLine moves a terminal's cursor to the line's beginning and clears it.
const eraseLine = "\r\x1b[K"

// screen shows lines that stay, and one line of status that changes. As a
// writer it takes the sidecar's output. It is safe for concurrent use. Errors
// of writing are ignored: the demonstration goes on when nobody looks.
type screen struct {
	w       io.Writer
	inPlace bool // the status stays where it is, else it is a line like others

	mu      sync.Mutex // guards w and what follows
	current string     // the status that is shown
	partial []byte     // an unfinished line of the sidecar's
}

// print shows text, which has to end with a newline.
func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.show(text)
}

// show shows text above the status. s.mu must be held.
func (s *screen) show(text string) {
	if s.inPlace && s.current != "" {
		text = eraseLine + text + s.current
	}
	_, _ = io.WriteString(s.w, text)
}

// status shows a line in place of the status before.
func (s *screen) status(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if line == s.current {
		return
	}
	s.current = line
	if s.inPlace {
		_, _ = io.WriteString(s.w, eraseLine+line)
		return
	}
	_, _ = io.WriteString(s.w, line+"\n")
}

// clear leaves the last status where it is and goes on behind it.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inPlace && s.current != "" {
		_, _ = io.WriteString(s.w, "\n")
	}
	s.current = ""
}

// Write shows the whole lines of what the sidecar prints.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partial = append(s.partial, b...)
	if end := bytes.LastIndexByte(s.partial, '\n') + 1; end > 0 {
		s.show(string(s.partial[:end]))
		s.partial = append(s.partial[:0], s.partial[end:]...)
	}
	return len(b), nil
}
