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

func TestLastGoodIsWhatRanNotWhatApplies(t *testing.T) {
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
	// The flags and variables of that time are in the file; today's are not
	// laid over it, lest they make it invalid.
	t.Setenv("FOO_SIDECAR_LOG_LEVEL", "nonsense")
	got, err := LoadLastGood(file)
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

func TestDamagedLastGoodIsNotUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "last-good.yaml")
	if _, err := LoadLastGood(file); !errors.Is(err, fs.ErrNotExist) {
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
	_, err = LoadLastGood(file)
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
