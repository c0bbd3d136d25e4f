//go:build unix

package checkpoint

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childEnv makes the test binary a process that saves, see TestMain.
const childEnv = "CHECKPOINT_TEST_CHILD"

// crashState is a state whose parts all follow from n, so that a mixture of two
// would show.
func crashState(boot string, n uint64) State {
	s := State{SavedAt: noon, Boot: boot, Sequence: n, Totals: map[string]map[string]int64{}, Windows: map[string][]Bucket{}}
	for listener := range 4 {
		name := fmt.Sprint("listener", listener)
		s.Totals[name] = map[string]int64{"n": int64(n)}
		for i := range 100 {
			s.Windows[name] = append(s.Windows[name], Bucket{
				Start: noon.Add(time.Duration(i) * 10 * time.Millisecond), Width: 10 * time.Millisecond, Requests: int64(n),
			})
		}
	}
	return s
}

// saveForever is the child of TestKilledProcessLeavesOneWholeState: it goes on
// from the state in the file and prints the number of each one that it saved.
func saveForever(path string) error {
	store := &FileStore{Path: path}
	ctx := context.Background()
	s, err := store.Load(ctx)
	if err != nil && !errors.Is(err, ErrNone) {
		return err
	}
	boot := strconv.Itoa(os.Getpid())
	for n := s.Sequence + 1; ; n++ {
		if _, err := store.Save(ctx, crashState(boot, n)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// Each round a real process saves as fast as it can and is killed with SIGKILL.
// The next one must find what was saved last, or the state after it if that
// save had got far enough.
func TestKilledProcessLeavesOneWholeState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recovery.json")
	rounds, patience := 300, 4*time.Second
	if testing.Short() {
		rounds = 10
	}
	var last uint64
	for round, start := 0, time.Now(); round < rounds && time.Since(start) < patience; round++ {
		saved := killAfter(t, path, 1+rand.IntN(8))
		got, err := openStore(path, new(logLines)).Load(t.Context())
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if got.Sequence != saved && got.Sequence != saved+1 || got.Sequence <= last {
			t.Fatalf("round %d: loaded state %d; want %d, or the one after, and more than %d", round, got.Sequence, saved, last)
		}
		if d := diff(crashState(got.Boot, got.Sequence), got); d != "" {
			t.Fatalf("round %d: broken state (-want +got):\n%s", round, d)
		}
		last = got.Sequence
	}
	t.Logf("%d states were saved in all", last)
	if files := siblings(filepath.Dir(path) + "/"); len(files) > 3 {
		t.Errorf("files were left behind: %q", files)
	}
}

// killAfter runs saveForever until it has reported so many saves, kills it, and
// returns the number of the last state that it reported.
func killAfter(t *testing.T, path string, saves int) (last uint64) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+path)
	child.Stderr = t.Output()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 1; lines.Scan(); n++ {
		if last, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
			t.Errorf("the child said %q", lines.Text())
		}
		if n == saves {
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := child.Wait(); err == nil || child.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return last
}

// saveOnFullDisk is the child of TestFullDiskLeavesTheOldStateAndHeals.
func saveOnFullDisk(path string) error {
	// Beyond the limit on the size of files a write fails as on a full disk: the
	// first part is written, the rest is refused.
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	tight := limit
	tight.Cur = 1000
	store := &FileStore{Path: path}
	if _, err := store.Save(context.Background(), crashState("A", 1)); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &tight); err != nil {
		return err
	}
	for range 3 {
		if _, err := store.Save(context.Background(), crashState("A", 2)); !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("saving on a full disk: got %w, want EFBIG", err)
		}
	}
	if files := siblings(filepath.Dir(path) + "/"); len(files) != 1 {
		return fmt.Errorf("files were left behind: %q", files)
	}
	if s, err := store.Load(context.Background()); err != nil || s.Sequence != 1 {
		return fmt.Errorf("after saving on a full disk: got state %d, %w; want 1", s.Sequence, err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	_, err := store.Save(context.Background(), crashState("A", 3))
	return err
}

func TestFullDiskLeavesTheOldStateAndHeals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recovery.json")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"=full:"+path)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantLoaded(t, path, crashState("A", 3))
}

// runChild is what a child does, by the value of childEnv.
func runChild(task string) error {
	if path, ok := strings.CutPrefix(task, "full:"); ok {
		return saveOnFullDisk(path)
	}
	return saveForever(task)
}
