//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// A placement says which processors what is measured may use, and which ones
// this program.
type placement struct{ measured, own unix.CPUSet }

// allowed returns the processors that this program may use.
func allowed() (all unix.CPUSet, err error) {
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return all, fmt.Errorf("ask which processors may be used: %w", err)
	}
	return all, nil
}

// onOneCore places everything that is measured on one of the processors, and
// this program on the others, if there are any, so that it does not disturb.
func onOneCore(all unix.CPUSet, core int) (p placement, err error) {
	if core == lastCore {
		for cpu := range len(all) * 64 {
			if all.IsSet(cpu) {
				core = cpu
			}
		}
	}
	if !all.IsSet(core) {
		return p, fmt.Errorf("processor %d may not be used here", core)
	}
	p.measured.Set(core)
	p.own = all
	if all.Count() > 1 {
		p.own.Clear(core)
	}
	return p, nil
}

// confine lets all of this program's threads use these processors. Those that
// it starts later inherit it.
func confine(to unix.CPUSet) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		// A thread that has ended since needs no processor.
		if err := unix.SchedSetaffinity(id, &to); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("choose processors: %w", err)
		}
	}
	return nil
}

// start calls what starts a process to be measured: it inherits its processors
// from the thread that does.
func (p placement) start(process func() error) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedSetaffinity(0, &p.measured); err != nil {
		return fmt.Errorf("choose processors: %w", err)
	}
	defer func() { err = errors.Join(err, unix.SchedSetaffinity(0, &p.own)) }()
	return process()
}
