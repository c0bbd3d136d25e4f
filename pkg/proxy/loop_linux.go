package proxy

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// loopBuffer is how much a loop reads at once. There is one buffer for each
// loop, so it may be large: large messages then cost few system calls.
const loopBuffer = 256 << 10

// maxEvents is how many sockets are looked at in one turn.
const maxEvents = 128

// busyTurns is how many turns a loop takes before others may have the
// processor, if it never runs out of events.
const busyTurns = 32

// maxLoops bounds the loops of a listener. One is enough for some hundred
// thousand unpipelined requests a second.
const maxLoops = 4

// loops are the event loops of one listener. They begin with its first session.
type loops struct {
	begin sync.Once
	all   []*loop // empty if there can't be any
	next  atomic.Uint32
}

// get returns the loop for one more session, nil if there is none.
func (ls *loops) get(l *Listener) *loop {
	ls.begin.Do(func() {
		for range min(runtime.GOMAXPROCS(0), maxLoops) {
			one, err := startLoop()
			if err != nil {
				l.options.Log.Error(err, "cannot start an event loop, doing without")
				break
			}
			ls.all = append(ls.all, one)
		}
	})
	if len(ls.all) == 0 {
		return nil
	}
	return ls.all[ls.next.Add(1)%uint32(len(ls.all))]
}

// stop ends the loops, whose sessions have ended.
func (ls *loops) stop() {
	for _, l := range ls.all {
		l.stop()
	}
}

// loop waits for the sockets of many sessions with one epoll descriptor, and
// drives them. The descriptor is itself waited for by the runtime's poller: so
// a loop with nothing to do is a goroutine that is parked, and the rest of the
// program stays ordinary Go.
//
// Events are edge-triggered, and each socket is registered once for its life:
// what an event said is remembered in its side until it was acted on.
type loop struct {
	file   *os.File // the epoll descriptor
	epoll  int
	events [maxEvents]unix.EpollEvent
	turns  int
	done   chan struct{} // closed when the goroutine has ended

	// mu guards the fields below, and all sessions of the loop. Whoever holds it
	// drives them; nothing blocks under it.
	mu      sync.Mutex
	scratch *scratch
	sides   []*side // by descriptor
	serial  int32   // of the last registration
}

func startLoop() (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create an epoll descriptor: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // makes the runtime wait for it
		unix.Close(fd) //nolint:errcheck // It is of no more use.
		return nil, fmt.Errorf("make an epoll descriptor nonblocking: %w", err)
	}
	l := &loop{
		file: os.NewFile(uintptr(fd), "epoll"), epoll: fd, done: make(chan struct{}),
		scratch: &scratch{buf: make([]byte, loopBuffer)},
	}
	raw, err := l.file.SyscallConn()
	if err == nil {
		err = l.file.SetDeadline(time.Time{}) // tells whether the runtime waits for it
	}
	if err != nil {
		l.file.Close() //nolint:errcheck // It is of no more use.
		return nil, fmt.Errorf("wait for an epoll descriptor: %w", err)
	}
	go func() {
		defer close(l.done)
		raw.Read(l.run) //nolint:errcheck // It ends when the descriptor is closed.
	}()
	return l, nil
}

func (l *loop) stop() {
	l.file.Close() //nolint:errcheck // That ends the goroutine, whatever it says.
	<-l.done
}

// run handles events until there are none. It returns false, so that it is
// called again when there are.
func (l *loop) run(uintptr) bool {
	for {
		n := epollWait(l.epoll, &l.events)
		if n == 0 {
			return false
		}
		l.turn(l.events[:n])
		if l.turns++; l.turns%busyTurns == 0 {
			runtime.Gosched()
		}
	}
}

func (l *loop) turn(events []unix.EpollEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range events {
		e := &events[i]
		// A socket may have been closed, and its descriptor used again, after the
		// event was there.
		if s := l.sides[e.Fd]; s != nil && s.serial == e.Pad {
			s.session.event(s, e.Events)
		}
	}
}

// behind is what a short read does not reach: an end, or what follows urgent
// data.
const behind = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR | unix.EPOLLPRI

// interest is what a socket is registered for.
const interest = unix.EPOLLIN | unix.EPOLLOUT | behind | unix.EPOLLET

// add registers a side, whose descriptor is set.
func (l *loop) add(s *side) error {
	l.serial++
	s.serial = l.serial
	e := unix.EpollEvent{Events: interest, Fd: int32(s.fd), Pad: s.serial}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, &e); err != nil {
		return fmt.Errorf("wait for a socket: %w", err)
	}
	for len(l.sides) <= s.fd {
		l.sides = append(l.sides, nil)
	}
	l.sides[s.fd] = s
	return nil
}

// remove forgets a side that is about to be closed, if it was added.
func (l *loop) remove(s *side) {
	if s.fd < len(l.sides) && l.sides[s.fd] == s {
		l.sides[s.fd] = nil
	}
}

// again lets the kernel report a side once more that still has something to
// read, after the others.
func (l *loop) again(s *side) {
	e := unix.EpollEvent{Events: interest, Fd: int32(s.fd), Pad: s.serial}
	unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, s.fd, &e) //nolint:errcheck // It is registered.
}
