package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLastGoodIsBesideTheCheckpoint(t *testing.T) {
	for checkpoint, want := range map[string]string{
		".data/recovery.json": filepath.Join(".data", "last-good.yaml"),
		"recovery.json":       "last-good.yaml",
		"":                    "",
	} {
		if got := LastGoodPath(checkpoint); got != want {
			t.Errorf("%q: got %q, want %q", checkpoint, got, want)
		}
	}
}

func TestLastGoodIsWhatRan(t *testing.T) {
	want := loaded(t, Options{
		File:  write(t, header+"log: {level: debug}\n"),
		Flags: flags(t, "--listen", ":9000"),
	})
	file := filepath.Join(t.TempDir(), "new", "last-good.yaml")
	for range 2 { // into a new directory, and over the file
		if err := SaveLastGood(file, want); err != nil {
			t.Fatal(err)
		}
	}
	// The flags and variables of that time are in the file.
	got, err := LoadLastGood(file, Options{Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-saved +loaded):\n%s", diff)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode: got %o, want 600", mode)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want one file", entries, err)
	}
}

func TestFlagsAndVariablesOfTodayWinOverTheLastGood(t *testing.T) {
	kept := loaded(t, Options{
		File:  write(t, header+"log: {level: debug}\ndrain: {delay: 7s}\n"),
		Flags: flags(t, "--listen", ":9000", "--http", ":9001"),
		Env:   env(map[string]string{"FOO_SIDECAR_FORWARD": "then:1"}),
	})
	file := filepath.Join(t.TempDir(), "last-good.yaml")
	if err := SaveLastGood(file, kept); err != nil {
		t.Fatal(err)
	}
	o := Options{
		File:  write(t, "not read"),
		Flags: flags(t, "--listen", ":9100"),
		Env: env(map[string]string{
			"FOO_SIDECAR_LISTEN":    ":9200", // the flag wins
			"FOO_SIDECAR_FORWARD":   "now:1",
			"FOO_SIDECAR_LOG_LEVEL": "warn",
		}),
	}
	got, err := LoadLastGood(file, o)
	if err != nil {
		t.Fatal(err)
	}
	want := kept
	want.Listeners[0].Address = ":9100"
	want.Upstreams[0].Addresses[0] = "now:1"
	want.Log.Level = LogWarn
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	o.Flags = flags(t, "--listen", "nowhere")
	_, err = LoadLastGood(file, o)
	if invalid, ok := errors.AsType[*InvalidError](err); !ok || invalid.FromFile() {
		t.Errorf("a bad flag: got %v, want an *InvalidError that is not the file's", err)
	}
}

func TestDamagedLastGoodIsNotUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "last-good.yaml")
	if _, err := LoadLastGood(file, Options{Env: noEnv}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that the file does not exist", err)
	}
	if err := SaveLastGood(file, Default()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data[:len(data)/2-3], 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = LoadLastGood(file, Options{Env: noEnv})
	if _, ok := errors.AsType[*InvalidError](err); !ok {
		t.Errorf("half a file: got %v, want an *InvalidError", err)
	}
}

func TestLastGoodThatCannotBeSavedIsAnError(t *testing.T) {
	notADirectory := write(t, "")
	if err := SaveLastGood(filepath.Join(notADirectory, "last-good.yaml"), Default()); err == nil {
		t.Error("saved below a file")
	}
}
