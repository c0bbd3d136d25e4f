package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

// never is a poll interval that a test does not see the end of, so that only
// events can be what is noticed.
const never = time.Hour

// patience is how long a test waits for what should happen soon.
const patience = 20 * time.Second

// observed is a call of Changed: whether the content changed, and the content.
type observed struct {
	changed bool
	content string // "absent" if the file could not be read
}

// watching runs Watch until the test ends and returns what it reports.
func watching(t *testing.T, o WatchOptions) <-chan observed {
	t.Helper()
	seen := make(chan observed, 10000)
	var busy sync.Mutex
	o.Changed = func(changed bool) {
		if !busy.TryLock() {
			t.Error("Changed was called twice at once")
			return
		}
		defer busy.Unlock()
		content := "absent"
		if data, err := os.ReadFile(o.File); err == nil {
			content = string(data)
		}
		seen <- observed{changed, content}
	}
	if o.Debounce == 0 {
		o.Debounce = time.Millisecond
	}
	if o.PollInterval == nil {
		o.PollInterval = func() time.Duration { return never }
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Watch(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch: %v", err)
		}
		goleak.VerifyNone(t)
	})
	return seen
}

// await waits until a change to this content was reported.
func await(t *testing.T, seen <-chan observed, content string) {
	t.Helper()
	timeout := time.After(patience)
	last := "nothing"
	for {
		select {
		case got := <-seen:
			if got.changed && got.content == content {
				return
			}
			last = fmt.Sprintf("%+v", got)
		case <-timeout:
			t.Fatalf("no change to %q was reported; the last report: %s", content, last)
		}
	}
}

func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// started returns a watch over a new file that holds "start", after it has
// been seen to work.
func started(t *testing.T, o WatchOptions) (string, <-chan observed) {
	t.Helper()
	o.File = filepath.Join(t.TempDir(), "etc", "sidecar.yaml")
	must(t, os.Mkdir(filepath.Dir(o.File), 0o700))
	put(t, o.File, "start")
	seen := watching(t, o) // nothing was loaded, so the file is news
	await(t, seen, "start")
	return o.File, seen
}

func TestWatchSeesAFileWrittenInPlace(t *testing.T) {
	file, seen := started(t, WatchOptions{})
	for i := range 50 {
		content := strconv.Itoa(i)
		put(t, file, content)
		await(t, seen, content)
	}
}

func TestWatchSeesAFileRenamedOverIt(t *testing.T) {
	file, seen := started(t, WatchOptions{})
	for i := range 50 {
		content := strconv.Itoa(i)
		put(t, file+".new", content)
		must(t, os.Rename(file+".new", file))
		await(t, seen, content)
	}
}

func TestWatchSeesAFileVanishAndComeBack(t *testing.T) {
	file, seen := started(t, WatchOptions{})
	for range 20 {
		must(t, os.Remove(file))
		await(t, seen, "absent")
		put(t, file, "the same again")
		await(t, seen, "the same again")
	}
}

func TestWatchSeesADirectoryVanishAndComeBack(t *testing.T) {
	file, seen := started(t, WatchOptions{})
	dir := filepath.Dir(file)
	for i := range 20 {
		content := strconv.Itoa(i)
		must(t, os.RemoveAll(dir))
		await(t, seen, "absent")
		must(t, os.Mkdir(dir, 0o700))
		put(t, file, content)
		await(t, seen, content)
		put(t, file, content+" in place") // the new directory is watched
		await(t, seen, content+" in place")
	}
}

func TestWatchSeesADirectoryThatIsReplaced(t *testing.T) {
	file, seen := started(t, WatchOptions{})
	dir := filepath.Dir(file)
	for i := range 20 {
		content := strconv.Itoa(i)
		must(t, os.Mkdir(dir+".new", 0o700))
		put(t, filepath.Join(dir+".new", "sidecar.yaml"), content)
		must(t, os.Rename(dir, fmt.Sprintf("%s.old%d", dir, i)))
		must(t, os.Rename(dir+".new", dir))
		await(t, seen, content)
		put(t, file, content+" in place")
		await(t, seen, content+" in place")
	}
}

func TestWatchWaitsForAFileWhoseDirectoriesDoNotExist(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a", "b", "c", "sidecar.yaml")
	seen := watching(t, WatchOptions{File: file, Since: "what was loaded once"})
	await(t, seen, "absent")
	must(t, os.MkdirAll(filepath.Dir(file), 0o700))
	put(t, file, "there")
	await(t, seen, "there")
}

func TestWatchSeesTheTargetOfALinkWrittenInPlace(t *testing.T) {
	target := filepath.Join(t.TempDir(), "target.yaml")
	link := filepath.Join(t.TempDir(), "sidecar.yaml")
	put(t, target, "start")
	must(t, os.Symlink(target, link))
	seen := watching(t, WatchOptions{File: link})
	await(t, seen, "start")
	put(t, target, "in place")
	await(t, seen, "in place")
}

// configMap is a directory that is written as the kubelet writes a volume made
// from a ConfigMap: the files are links into ..data, which is a link to a
// directory that is never changed but replaced.
type configMap struct {
	dir     string
	serial  int
	current string
}

func (m *configMap) write(t *testing.T, content string) {
	t.Helper()
	m.serial++
	next := fmt.Sprintf("..2026_01_02_03_04_05.%d", m.serial)
	must(t, os.Mkdir(filepath.Join(m.dir, next), 0o700))
	put(t, filepath.Join(m.dir, next, "sidecar.yaml"), content)
	must(t, os.Symlink(next, filepath.Join(m.dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(m.dir, "..data_tmp"), filepath.Join(m.dir, "..data")))
	if m.current == "" {
		must(t, os.Symlink(filepath.Join("..data", "sidecar.yaml"), filepath.Join(m.dir, "sidecar.yaml")))
	} else {
		must(t, os.RemoveAll(filepath.Join(m.dir, m.current)))
	}
	m.current = next
}

func TestWatchSeesEachSwapOfAConfigMap(t *testing.T) {
	m := &configMap{dir: t.TempDir()}
	m.write(t, "start")
	seen := watching(t, WatchOptions{File: filepath.Join(m.dir, "sidecar.yaml")})
	await(t, seen, "start")
	for i := range 300 {
		content := strconv.Itoa(i)
		m.write(t, content)
		await(t, seen, content)
	}
}

func TestWatchSeesTheLastOfManySwaps(t *testing.T) {
	m := &configMap{dir: t.TempDir()}
	m.write(t, "start")
	seen := watching(t, WatchOptions{File: filepath.Join(m.dir, "sidecar.yaml")})
	await(t, seen, "start")
	for burst := range 20 {
		for i := range 20 {
			m.write(t, fmt.Sprintf("%d.%d", burst, i))
		}
		await(t, seen, fmt.Sprintf("%d.19", burst))
	}
}

func TestWatchReportsASettledChangeOnce(t *testing.T) {
	trigger := make(chan struct{})
	file, seen := started(t, WatchOptions{Debounce: 50 * time.Millisecond, Trigger: trigger})
	for range 100 {
		put(t, file, "half")
	}
	put(t, file, "written")
	await(t, seen, "written")
	put(t, file, "written") // again
	trigger <- struct{}{}   // what is reported for this comes after all else
	if got := <-seen; got != (observed{false, "written"}) {
		t.Errorf("got %+v, want nothing but what was asked for", got)
	}
}

func TestWatchDoesNotReportWhatWasLoaded(t *testing.T) {
	file := write(t, "loaded")
	trigger := make(chan struct{})
	seen := watching(t, WatchOptions{File: file, Since: Fingerprint(file), Trigger: trigger})
	trigger <- struct{}{}
	if got := <-seen; got != (observed{false, "loaded"}) {
		t.Errorf("got %+v, want nothing but what was asked for", got)
	}
}

func TestWatchReportsAChangeBetweenLoadingAndWatching(t *testing.T) {
	file := write(t, "loaded")
	since := Fingerprint(file)
	put(t, file, "changed since")
	await(t, watching(t, WatchOptions{File: file, Since: since}), "changed since")
}

func TestTriggerReportsAnUnchangedFile(t *testing.T) {
	trigger := make(chan struct{})
	_, seen := started(t, WatchOptions{Trigger: trigger})
	for range 3 {
		trigger <- struct{}{}
		if got := <-seen; got != (observed{false, "start"}) {
			t.Errorf("got %+v, want the unchanged file", got)
		}
	}
}

func TestWatchIsNotPutOffByASteadyStreamOfEvents(t *testing.T) {
	const debounce = 20 * time.Millisecond
	file, seen := started(t, WatchOptions{Debounce: debounce})
	stop := make(chan struct{})
	var noise sync.WaitGroup
	noise.Go(func() {
		often := time.NewTicker(debounce / 20) // so that it is never quiet
		defer often.Stop()
		for {
			select {
			case <-stop:
				return
			case <-often.C:
				_ = os.WriteFile(filepath.Join(filepath.Dir(file), "other"), []byte("noise"), 0o600)
			}
		}
	})
	put(t, file, "heard")
	await(t, seen, "heard")
	close(stop)
	noise.Wait()
}

func TestWatchPollsWhereThereAreNoEvents(t *testing.T) {
	refusal := errors.New("too many open files")
	warnings := make(chan error, 10)
	file, seen := started(t, WatchOptions{
		PollInterval: func() time.Duration { return time.Millisecond },
		Warn:         func(err error) { warnings <- err },
		notify:       func() (*fsnotify.Watcher, error) { return nil, refusal },
	})
	for i := range 10 {
		content := strconv.Itoa(i)
		put(t, file, content)
		await(t, seen, content)
	}
	if err := <-warnings; !errors.Is(err, refusal) {
		t.Errorf("got warning %v, want %v", err, refusal)
	}
	if len(warnings) > 0 {
		t.Errorf("warned again: %v", <-warnings)
	}
}

func TestPollIntervalIsLive(t *testing.T) {
	var interval atomic.Int64
	interval.Store(int64(never))
	trigger := make(chan struct{})
	file, seen := started(t, WatchOptions{
		Trigger:      trigger,
		PollInterval: func() time.Duration { return time.Duration(interval.Load()) },
		notify:       func() (*fsnotify.Watcher, error) { return nil, errors.New("none to be had") },
	})
	interval.Store(int64(time.Millisecond))
	trigger <- struct{}{} // whoever changes the interval does so in Changed
	put(t, file, "polled")
	await(t, seen, "polled")
}

func TestFingerprintTellsContentsApart(t *testing.T) {
	file := write(t, "a")
	a := Fingerprint(file)
	put(t, file, "b")
	if b := Fingerprint(file); a == b || a == "" || b == "" {
		t.Errorf("a: %q, b: %q; want two fingerprints", a, b)
	}
	if got := Fingerprint(filepath.Dir(file)); got != "" {
		t.Errorf("a directory: got %q, want none", got)
	}
}

func TestWatchNeedsAFileAndSomebodyToTell(t *testing.T) {
	if err := Watch(t.Context(), WatchOptions{}); err == nil {
		t.Error("watched nothing")
	}
}
