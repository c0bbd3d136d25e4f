//go:build unix

package terminal

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// prepare makes a terminal understand escape sequences, which all of this
// system do.
func prepare(*os.File) (restore func() error, err error) {
	return func() error { return nil }, nil
}

// Unread reports whether nobody can read any more what is written to f: the
// other end of a pipe is closed, or a terminal has gone.
func Unread(f *os.File) bool {
	poll := []unix.PollFd{{Fd: int32(f.Fd())}} // what is told needs not be asked for
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0 && poll[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
}

// understands reports whether a terminal understands escape sequences.
func understands(*os.File) bool { return true }

// notifyResize tells when the terminal's size changes.
func notifyResize() (resized <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	return c, func() { signal.Stop(c) }
}
