//go:build !windows

package checkpoint

import (
	"errors"
	"os"
	"syscall"
)

// syncDir makes a rename in dir last through a power failure. Some file systems
// can't sync a directory; there, nothing more can be done.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // nothing was written
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
