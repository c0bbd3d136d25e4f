//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Memory is what a process holds, in bytes.
type Memory struct {
	// Resident is all of it, with the program itself; Private is RssAnon: heap
	// and stacks, which no other process shares.
	Resident int64 `json:"resident"`
	Private  int64 `json:"private"`
}

func (m Memory) minus(o Memory) Memory { return Memory{m.Resident - o.Resident, m.Private - o.Private} }

// processes are those of one subject, by their numbers.
type processes []int

// family returns a process and its children.
func family(pid int) (processes, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, err
	}
	all := processes{pid}
	for field := range strings.FieldsSeq(string(text)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("the children of process %d are %q: %w", pid, text, err)
		}
		all = append(all, child)
	}
	return all, nil
}

// sum adds up what parse finds in a file of each process below /proc.
func (ps processes) sum(file string, parse func(string) (int64, error)) (total int64, err error) {
	for _, pid := range ps {
		name := fmt.Sprintf("/proc/%d/%s", pid, file)
		text, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		n, err := parse(string(text))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		total += n
	}
	return total, nil
}

// cpuTime returns the processor time that the processes have taken, of the user
// and of the system. The scheduler counts it in nanoseconds, for each thread.
func (ps processes) cpuTime() (total time.Duration, err error) {
	for _, pid := range ps {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			return 0, err
		}
		if len(threads) == 0 {
			return 0, fmt.Errorf("process %d has ended, or the system keeps no schedstat", pid)
		}
		for _, thread := range threads {
			text, err := os.ReadFile(thread)
			if errors.Is(err, fs.ErrNotExist) {
				continue // It has ended since.
			}
			if err != nil {
				return 0, err
			}
			n, err := parseSchedstat(string(text))
			if err != nil {
				return 0, fmt.Errorf("%s: %w", thread, err)
			}
			total += n
		}
	}
	return total, nil
}

// parseSchedstat returns the time on a processor: the first of three numbers.
func parseSchedstat(text string) (time.Duration, error) {
	first, _, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q has no time: %w", text, err)
	}
	return time.Duration(n), nil
}

// field returns what stands behind "name:", without a unit.
func field(name string) func(text string) (int64, error) {
	return func(text string) (int64, error) {
		for line := range strings.Lines(text) {
			rest, ok := strings.CutPrefix(line, name+":")
			if values := strings.Fields(rest); ok && len(values) > 0 {
				return strconv.ParseInt(values[0], 10, 64)
			}
		}
		return 0, fmt.Errorf("there is no %s", name)
	}
}

const kibibyte = 1 << 10 // /proc/PID/status counts in kB

// memory returns what the processes hold together.
func (ps processes) memory() (m Memory, err error) {
	resident, err := ps.sum("status", field("VmRSS"))
	if err != nil {
		return m, err
	}
	private, err := ps.sum("status", field("RssAnon"))
	return Memory{resident * kibibyte, private * kibibyte}, err
}

// peak returns the most that the processes have ever held.
func (ps processes) peak() (resident int64, err error) {
	resident, err = ps.sum("status", field("VmHWM"))
	return resident * kibibyte, err
}

// readsAndWrites returns how many calls of read, write and their kin there were.
// The system does not count recv and send here.
func (ps processes) readsAndWrites() (int64, error) {
	reads, err := ps.sum("io", field("syscr"))
	if err != nil {
		return 0, err
	}
	writes, err := ps.sum("io", field("syscw"))
	return reads + writes, err
}

// written returns how many bytes were written, to whatever it was.
func (ps processes) written() (int64, error) { return ps.sum("io", field("wchar")) }

// descriptors returns how many files the processes have open.
func (ps processes) descriptors() (n int, err error) {
	for _, pid := range ps {
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			return 0, err
		}
		n += len(files)
	}
	return n, nil
}
