package proxy

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below never block, so the scheduler is not told of them: telling it
// wakes its monitor, another thread, each time that the program was idle before,
// which costs more than the call.

// epollWait returns how many events there are now.
func epollWait(epoll int, events *[maxEvents]unix.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(events)), maxEvents, 0, 0, 0)
	if errno != 0 {
		return 0 // a signal came; there was nothing to wait for
	}
	return int(n)
}

// recv and send are a twentieth cheaper than read and write, which pass through
// the layer of files first.

// receive reads from a socket. B must not be empty.
func receive(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// transmit writes to a socket. B must not be empty.
func transmit(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
