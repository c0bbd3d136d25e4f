package programs

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
)

func TestLineIsWholeAndHasAllParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOutput()
		go func() {
			for _, text := range []string{"one\ntwo\none ", "and", " two", "\nthree"} {
				synctest.Wait() // until somebody waits for it
				if _, err := o.Write([]byte(text)); err != nil {
					t.Error(err)
				}
			}
		}()
		if line, err := o.Line(t.Context(), "one", "two"); err != nil || line != "one and two\n" {
			t.Errorf("got %q, %v", line, err)
		}
		if line, err := o.Line(t.Context(), "three"); err == nil || !strings.HasPrefix(err.Error(), "waited in vain") {
			t.Errorf("got %q, %v for half a line", line, err)
		}
	})
}

func TestNobodyWaitsForAProcessThatHasEnded(t *testing.T) {
	// This program without its tests, which says so and ends.
	p, err := Programs{Dir: t.TempDir()}.StartCommand(exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$"))
	if err != nil {
		t.Fatal(err)
	}
	if line, err := p.Stdout.Line(t.Context(), "listening on"); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("got %q, %v", line, err)
	}
	if line, err := p.Stdout.Line(t.Context(), "PASS"); err != nil {
		t.Errorf("got %q, %v for what was written before", line, err)
	}
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
