package terminal

import (
	"os"

	"golang.org/x/sys/windows"
)

// prepare makes a terminal understand escape sequences, which older ones only
// do if they are told to.
func prepare(f *os.File) (restore func() error, err error) {
	console := windows.Handle(f.Fd())
	var before uint32
	if err := windows.GetConsoleMode(console, &before); err != nil {
		return nil, err
	}
	if err := windows.SetConsoleMode(console, before|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING); err != nil {
		return nil, err
	}
	return func() error { return windows.SetConsoleMode(console, before) }, nil
}

// Unread reports whether nobody can read any more what is written to f, which
// this system only tells who writes.
func Unread(*os.File) bool { return false }

// understands reports whether a terminal understands escape sequences.
func understands(f *os.File) bool {
	var mode uint32
	err := windows.GetConsoleMode(windows.Handle(f.Fd()), &mode)
	return err == nil && mode&windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING != 0
}

// notifyResize never tells: the size is seen at the next drawing.
func notifyResize() (resized <-chan os.Signal, stop func()) { return nil, func() {} }
