package checkpoint

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// unprivileged runs f without the rights of root, which modes do not bind, in
// a thread that ends with it. Whoever has no such rights has none to lose.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is not used again
		var err error
		if os.Geteuid() == 0 {
			const nobody = 65534
			// The file system's user takes the capabilities along that override modes.
			_, err = unix.SetfsuidRetUid(nobody)
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// ownedStore is a store in a directory that belongs to whoever unprivileged is,
// with the given state saved.
func ownedStore(t *testing.T, s State) *FileStore {
	t.Helper()
	dir, err := os.MkdirTemp("", "checkpoint") //nolint:usetesting // Others may not enter that one.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	store := openStore(filepath.Join(dir, "state", "recovery.json"), new(logLines))
	unprivileged(t, func() { _, err = store.Save(t.Context(), s) })
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestForbiddenFileIsReportedAndLeft(t *testing.T) {
	store := ownedStore(t, sampleState())
	if err := os.Chmod(store.Path, 0); err != nil {
		t.Fatal(err)
	}
	again := openStore(store.Path, new(logLines))
	var loadErr, saveErr error
	unprivileged(t, func() {
		_, loadErr = again.Load(t.Context())
		_, saveErr = again.Save(t.Context(), sampleState())
	})
	if !errors.Is(loadErr, fs.ErrPermission) {
		t.Errorf("load: got %v, want a permission error", loadErr)
	}
	if !errors.Is(saveErr, fs.ErrPermission) {
		t.Errorf("save: got %v, want a permission error", saveErr)
	}
	wantFiles(t, store.Path, "recovery.json")
}

func TestReadOnlyDirectoryIsAnErrorAndTheFileStays(t *testing.T) {
	store := ownedStore(t, numbered("A", 1))
	if err := os.Chmod(filepath.Dir(store.Path), 0o500); err != nil {
		t.Fatal(err)
	}
	var err error
	unprivileged(t, func() { _, err = store.Save(t.Context(), numbered("A", 2)) })
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want a permission error", err)
	}
	if err := os.Chmod(filepath.Dir(store.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	wantLoaded(t, store.Path, numbered("A", 1))
}
