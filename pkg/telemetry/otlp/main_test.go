package otlp

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logbook keeps what is logged.
type logbook struct {
	mu   sync.Mutex
	book []map[string]any
}

func (l *logbook) logger() logr.Logger {
	return funcr.NewJSON(func(line string) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			panic(err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.book = append(l.book, record)
	}, funcr.Options{})
}

func (l *logbook) lines() []map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book
}

// expect compares what was logged: a prefix of the message of each line.
func (l *logbook) expect(t *testing.T, want ...string) {
	t.Helper()
	lines := l.lines()
	ok := len(lines) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = strings.HasPrefix(lines[i]["msg"].(string), want[i])
	}
	if !ok {
		t.Errorf("logged %v, want %q", lines, want)
	}
}
