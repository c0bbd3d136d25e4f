//go:build unix

package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyRegularFilesAreReadAndNothingIsWaitedFor(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "sidecar.yaml")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, file := range map[string]string{
		"pipe":      pipe,
		"device":    "/dev/null",
		"directory": t.TempDir(),
	} {
		for how, load := range map[string]func() (Config, error){
			"Load":         func() (Config, error) { return Load(Options{File: file, Env: noEnv}) },
			"LoadLastGood": func() (Config, error) { return LoadLastGood(file, Options{Env: noEnv}) },
		} {
			_, err := load()
			if err == nil || !strings.Contains(err.Error(), file+" is not a regular file") {
				t.Errorf("%s of a %s: got %v, want that it is not a regular file", how, what, err)
			}
			if _, ok := errors.AsType[*InvalidError](err); ok {
				t.Errorf("%s of a %s: what cannot be read was called invalid", how, what)
			}
		}
		if got := Fingerprint(file); got != "" {
			t.Errorf("fingerprint of a %s: got %q, want none", what, got)
		}
	}
}
