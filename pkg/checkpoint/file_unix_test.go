//go:build unix

package checkpoint

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestFileIsForItsOwnerAlone(t *testing.T) {
	store, _ := newStore(t)
	mustSave(t, store, sampleState())
	for path, want := range map[string]fs.FileMode{store.Path: 0o600, filepath.Dir(store.Path): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v; want mode %v", path, info.Mode(), err, want)
		}
	}
}
