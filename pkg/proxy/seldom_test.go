package proxy

import (
	"testing"
	"time"
)

func TestWhatIsDoneSeldomTellsHowOftenItWasNot(t *testing.T) {
	var s seldom
	for _, c := range []struct {
		at   time.Duration
		left int64
		ok   bool
	}{
		{0, 0, true},
		{time.Second, 0, false},
		{59 * time.Second, 0, false},
		{61 * time.Second, 2, true},
		{62 * time.Second, 0, false},
		{time.Hour, 1, true},
	} {
		if left, ok := s.now(c.at); left != c.left || ok != c.ok {
			t.Errorf("at %v: got %d, %v, want %d, %v", c.at, left, ok, c.left, c.ok)
		}
	}
}
