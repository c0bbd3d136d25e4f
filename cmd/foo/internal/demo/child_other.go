//go:build !unix

package demo

import (
	"errors"
	"os"
	"syscall"
)

// ownGroup does nothing: there are no process groups here.
func ownGroup() *syscall.SysProcAttr { return nil }

// terminate says that there is no way to ask a process to stop.
func terminate(*os.Process) error { return errors.ErrUnsupported }
