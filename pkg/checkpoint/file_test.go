package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
)

const legacyDoc = `{"index":0,"time_stamp":1505951090,"requests_10s":[0,0,0,0,0,0,0,0,0,5],"responses_10s":[0,0,0,0,0,0,0,0,0,4]}`

// logLines remembers what was logged.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, args)
	}, funcr.Options{})
}

// containing returns how many lines contain s.
func (l *logLines) containing(s string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, s) {
			n++
		}
	}
	return n
}

// newStore returns a store in a directory that does not exist yet, and what it logs.
func newStore(t *testing.T) (*FileStore, *logLines) {
	t.Helper()
	log := new(logLines)
	return openStore(filepath.Join(t.TempDir(), "a", "b", "recovery.json"), log), log
}

func openStore(path string, log *logLines) *FileStore {
	return &FileStore{Path: path, Listener: "default", Log: log.logger(), Now: func() time.Time { return noon }}
}

// numbered returns the sample state as the nth of a process.
func numbered(boot string, n uint64) State {
	s := sampleState()
	s.Boot, s.Sequence = boot, n
	return s
}

func mustSave(t *testing.T, store *FileStore, s State) {
	t.Helper()
	size, err := store.Save(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(store.Path); err != nil || info.Size() != int64(size) {
		t.Fatalf("saved %d bytes, the file has %v, %v", size, info, err)
	}
}

func mustWrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantLoaded(t *testing.T, path string, want State) {
	t.Helper()
	got, err := openStore(path, new(logLines)).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(want, got); d != "" {
		t.Errorf("loaded state differs (-want +got):\n%s", d)
	}
}

// wantFiles checks the names of the files beside path, without time stamps and
// random parts, in the order of the directory.
func wantFiles(t *testing.T, path string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), "-")
		got = append(got, name)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("files differ (-want +got):\n%s", d)
	}
}

func TestSavedStateIsLoaded(t *testing.T) {
	store, _ := newStore(t)
	if s, err := store.Load(t.Context()); !errors.Is(err, ErrNone) || !s.IsZero() {
		t.Fatalf("before the first save: got %v, %v; want ErrNone", s, err)
	}
	for n := range uint64(3) {
		mustSave(t, store, numbered("A", n))
		wantLoaded(t, store.Path, numbered("A", n))
	}
	wantFiles(t, store.Path, "recovery.json", "recovery.json.1")
}

func TestRelativePathNeedsNoDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	store := openStore("recovery.json", new(logLines))
	mustWrite(t, ".recovery.json.tmp-1", "half")
	if _, err := store.Load(t.Context()); !errors.Is(err, ErrNone) {
		t.Fatal(err)
	}
	mustSave(t, store, sampleState())
	wantLoaded(t, "recovery.json", sampleState())
	wantFiles(t, "recovery.json", "recovery.json")
}

// A crash of the machine may leave any part of a file. Whatever is left of the
// newest one, the state before it is found.
func TestTruncatedFileFallsBackToTheGenerationBefore(t *testing.T) {
	store, _ := newStore(t)
	older, newer := numbered("A", 1), numbered("A", 2)
	mustSave(t, store, older)
	mustSave(t, store, newer)
	doc, err := os.ReadFile(store.Path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(doc) - 1 {
		if err := os.Truncate(store.Path, int64(len(doc)-2-n)); err != nil {
			t.Fatal(err)
		}
		got, err := openStore(store.Path, new(logLines)).Load(t.Context())
		if !isA[*DamagedError](err) || !strings.Contains(err.Error(), "recovery.json.1 was used") {
			t.Fatalf("cut to %d bytes: got error %v, want a DamagedError that says what was used instead", len(doc)-2-n, err)
		}
		if d := diff(older, got); d != "" {
			t.Fatalf("cut to %d bytes (-want +got):\n%s", len(doc)-2-n, d)
		}
	}
}

// A process that was killed in the middle of a save leaves a part of a
// temporary file, which never matters.
func TestHalfWrittenTemporaryFileIsIgnoredAndRemoved(t *testing.T) {
	store, _ := newStore(t)
	mustSave(t, store, numbered("A", 1))
	doc := mustEncode(t, numbered("A", 2))
	for n := 0; n <= len(doc); n += 7 {
		mustWrite(t, store.tempPrefix()+"123", string(doc[:n]))
		wantLoaded(t, store.Path, numbered("A", 1))
		wantFiles(t, store.Path, "recovery.json")
	}
}

func TestUnusableFileIsLeftByLoadAndSetAsideBySave(t *testing.T) {
	for kind, content := range map[string]string{
		asideDamaged: "half of someth",
		asideForeign: `{"kind":"SidecarConfig"}`,
		asideNewer:   `{"format":"foo-sidecar/checkpoint","version":2}`,
	} {
		t.Run(kind, func(t *testing.T) {
			store, log := newStore(t)
			mustWrite(t, store.Path, content)
			for range 2 { // a process that refuses to start finds it again
				if s, err := store.Load(t.Context()); err == nil || errors.Is(err, ErrNone) || !s.IsZero() {
					t.Fatalf("load: got %v, %v; want an error", s, err)
				}
				wantFiles(t, store.Path, "recovery.json")
			}
			mustSave(t, store, sampleState())
			wantFiles(t, store.Path, "recovery.json", "recovery.json."+kind)
			wantLoaded(t, store.Path, sampleState())
			aside := store.Path + "." + kind + "-20240517T120000.000Z"
			if got, err := os.ReadFile(aside); string(got) != content {
				t.Errorf("set aside: got %q, %v; want %q", got, err, content)
			}
			if log.containing(aside) != 1 {
				t.Errorf("the new name was not logged once: %q", log.lines)
			}
		})
	}
}

func TestGenerationBeforeOutlivesADamagedFile(t *testing.T) {
	store, log := newStore(t)
	mustSave(t, store, numbered("A", 1))
	mustSave(t, store, numbered("A", 2))
	mustWrite(t, store.Path, "")
	again := openStore(store.Path, log)
	if got, err := again.Load(t.Context()); !isA[*DamagedError](err) || got.Sequence != 1 {
		t.Fatalf("got %v, %v; want state 1 and a DamagedError", got, err)
	}
	mustSave(t, again, numbered("B", 3))
	wantFiles(t, store.Path, "recovery.json", "recovery.json.1", "recovery.json.damaged")
	wantLoaded(t, store.Path, numbered("B", 3))
	wantLoaded(t, again.previous(), numbered("A", 1))
}

func TestOnlyTheNewestFilesSetAsideAreKept(t *testing.T) {
	store, _ := newStore(t)
	now := noon
	store.Now = func() time.Time { return now }
	for range 5 {
		mustWrite(t, store.Path, "damaged at "+now.String())
		if _, err := store.Load(t.Context()); err == nil {
			t.Fatal("a damaged file was loaded")
		}
		mustSave(t, store, sampleState())
		now = now.Add(time.Second)
	}
	got := siblings(store.Path + ".damaged-")
	want := []string{
		store.Path + ".damaged-20240517T120002.000Z",
		store.Path + ".damaged-20240517T120003.000Z",
		store.Path + ".damaged-20240517T120004.000Z",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("files differ (-want +got):\n%s", d)
	}
}

func TestOldRecoveryFileIsImportedAndKept(t *testing.T) {
	store, log := newStore(t)
	mustWrite(t, store.Path, legacyDoc)
	got, err := store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	saved := time.Unix(1505951090, 0).UTC()
	want := State{SavedAt: saved, Windows: map[string][]Bucket{
		"default": {{Start: saved.Add(-time.Second), Width: time.Second, Requests: 5, Answers: 4}},
	}}
	if d := diff(want, got); d != "" {
		t.Errorf("imported state differs (-want +got):\n%s", d)
	}
	mustSave(t, store, sampleState())
	wantFiles(t, store.Path, "recovery.json", "recovery.json.imported")
	if log.containing("another process") != 0 {
		t.Errorf("the old proxy's file was held to be a second writer: %q", log.lines)
	}
}

func TestFileThatCannotBeReadIsNeverReplaced(t *testing.T) {
	store, _ := newStore(t)
	// A directory is what nobody can read as a file, root included.
	if err := os.MkdirAll(store.Path, 0o700); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Load(t.Context()); err == nil || errors.Is(err, ErrNone) || !s.IsZero() {
		t.Fatalf("load: got %v, %v; want an error", s, err)
	}
	if _, err := store.Save(t.Context(), sampleState()); err == nil {
		t.Fatal("save replaced what it could not read")
	}
	wantFiles(t, store.Path, "recovery.json")

	// Once it can be read, it is a state that nobody has gone on from: keep it.
	if err := os.Remove(store.Path); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, store.Path, string(mustEncode(t, numbered("before", 1))))
	mustSave(t, store, sampleState())
	wantFiles(t, store.Path, "recovery.json", "recovery.json.unread")
	wantLoaded(t, store.Path, sampleState())
}

func TestDirectoryThatCannotBeMadeIsAnError(t *testing.T) {
	blocker := filepath.Join(t.TempDir(), "file")
	mustWrite(t, blocker, "")
	store := openStore(filepath.Join(blocker, "dir", "recovery.json"), new(logLines))
	if _, err := store.Load(t.Context()); err == nil {
		t.Error("load below a file: got no error")
	}
	if _, err := store.Save(t.Context(), sampleState()); err == nil || !strings.Contains(err.Error(), blocker) {
		t.Errorf("save below a file: got %v, want an error that names %s", err, blocker)
	}
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	mustSave(t, store, sampleState()) // it heals by itself
}

func TestSecondWriterIsReportedOnceAndBothGoOn(t *testing.T) {
	storeA, logA := newStore(t)
	logB := new(logLines)
	storeB := openStore(storeA.Path, logB)
	for n := range uint64(3) {
		mustSave(t, storeA, numbered("A", n))
		if n == 0 {
			if _, err := storeB.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		mustSave(t, storeB, numbered("B", n))
	}
	wantLoaded(t, storeA.Path, numbered("B", 2))
	wantFiles(t, storeA.Path, "recovery.json", "recovery.json.1")
	for name, log := range map[string]*logLines{"A": logA, "B": logB} {
		if n := log.containing("another process writes the same checkpoint file"); n != 1 {
			t.Errorf("%s reported the other %d times, want once: %q", name, n, log.lines)
		}
	}
	if logA.containing(`"otherBoot"="B"`) != 1 {
		t.Errorf("A did not name B: %q", logA.lines)
	}
}

func TestRemovedFileIsWrittenAgainWithoutComplaint(t *testing.T) {
	store, log := newStore(t)
	mustSave(t, store, numbered("A", 1))
	if err := os.RemoveAll(filepath.Dir(store.Path)); err != nil {
		t.Fatal(err)
	}
	mustSave(t, store, numbered("A", 2))
	wantLoaded(t, store.Path, numbered("A", 2))
	if len(log.lines) != 0 {
		t.Errorf("unexpected log: %q", log.lines)
	}
}
