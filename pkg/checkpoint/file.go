package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
)

// Why a file was set aside, as its new name says.
const (
	asideDamaged  = "damaged"
	asideForeign  = "foreign"
	asideNewer    = "newer"
	asideImported = "imported"
	asideUnread   = "unread"
)

// maxAside is how many files of a kind are kept that were set aside.
const maxAside = 3

// FileStore keeps the state in a file. It must not be used concurrently.
//
// It works with the plain functions of package os: renameio would save the
// temporary file and the rename, but syncs no directory, so that its rename can
// be undone by a power failure, and does not build for Windows.
//
// A symbolic link at Path is replaced, not followed.
type FileStore struct {
	// Path is the file. Its directory is created when first needed. Required.
	Path string
	// Listener is given the counts of an old proxy's recovery file.
	Listener string
	// Log is told when a file is set aside and when another process turns out to
	// write the same file. The zero Logger tells nobody.
	Log logr.Logger
	// Now is the wall clock, which names the files that are set aside. Nil means
	// time.Now.
	Now func() time.Time

	// known says that the file has been read, or seen to be missing; last is
	// that file, nil for none. Any other file at Path comes from somebody else.
	known bool
	last  fs.FileInfo
	// aside says why last must be set aside, empty if it may be replaced.
	aside string
	// reported says that somebody else was reported.
	reported bool
}

var _ Store = (*FileStore)(nil)

// String names the store for people.
func (f *FileStore) String() string { return "file " + f.Path }

// Load reads the file, and the generation before it if the file can't be used.
// In the latter case both the state and the error are set. A file that can't
// even be read is an error of its own and stays where it is: Save fails for as
// long as that lasts.
func (f *FileStore) Load(ctx context.Context) (State, error) {
	if err := ctx.Err(); err != nil {
		return State{}, fmt.Errorf("load checkpoint: %w", err)
	}
	f.removeOrphans()
	data, info, err := readFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		f.known, f.last, f.aside = true, nil, ""
		return State{}, ErrNone
	}
	if err != nil {
		f.known = false
		return State{}, fmt.Errorf("load checkpoint: %w", err)
	}
	s, aside, err := f.decode(data)
	f.known, f.last, f.aside = true, info, aside
	if err == nil {
		return s, nil
	}
	err = fmt.Errorf("load checkpoint %s: %w", f.Path, err)
	if data, _, prevErr := readFile(f.previous()); prevErr == nil {
		if s, prevErr = Decode(data); prevErr == nil {
			return s, fmt.Errorf("%w; %s was used instead", err, f.previous())
		}
	}
	return State{}, err
}

// decode reads a file of either format and says why it must be set aside.
func (f *FileStore) decode(data []byte) (s State, aside string, err error) {
	s, err = Decode(data)
	if isA[*ForeignError](err) {
		old, oldErr := DecodeLegacy(data, f.Listener)
		if !isA[*ForeignError](oldErr) {
			s, err, aside = old, oldErr, asideImported
		}
	}
	switch {
	case err == nil:
		return s, aside, nil
	case isA[*ForeignError](err):
		return State{}, asideForeign, err
	case isA[*VersionError](err):
		return State{}, asideNewer, err
	default:
		return State{}, asideDamaged, err
	}
}

// Save replaces the file and returns its size. It can't be interrupted: ctx
// only keeps it from beginning.
func (f *FileStore) Save(ctx context.Context, s State) (size int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("save checkpoint: %w", err)
	}
	doc, err := Encode(s)
	if err != nil {
		return 0, err
	}
	if err := f.save(doc, s.Boot); err != nil {
		return 0, fmt.Errorf("save checkpoint: %w", err)
	}
	return len(doc), nil
}

func (f *FileStore) save(doc []byte, boot string) error {
	dir := filepath.Dir(f.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := f.inspect(boot); err != nil {
		return err
	}
	temp, info, err := f.writeTemp(doc)
	if err != nil {
		return err
	}
	if err := f.keepOld(); err != nil {
		_ = os.Remove(temp) // the first error is the one to tell
		return err
	}
	if err := os.Rename(temp, f.Path); err != nil {
		_ = os.Remove(temp)
		return err
	}
	f.known, f.last, f.aside = true, info, ""
	return syncDir(dir)
}

// inspect looks at what is about to be replaced, so that nothing is lost that
// did not come from this process, and notices who else writes it.
func (f *FileStore) inspect(boot string) error {
	info, err := os.Stat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		f.known, f.last, f.aside = true, nil, ""
		return nil
	}
	if err != nil {
		return err
	}
	if f.known && sameFile(info, f.last) {
		return nil
	}
	data, info, err := readFile(f.Path)
	if err != nil {
		return err
	}
	s, aside, err := f.decode(data)
	switch {
	case err != nil:
		f.aside = aside
	case !f.known:
		f.aside = asideUnread
	default:
		f.aside = ""
		f.reportOther(s, boot)
	}
	f.known, f.last = true, info
	return nil
}

// reportOther says once that somebody else has written s to the file.
func (f *FileStore) reportOther(s State, boot string) {
	if s.Boot == boot || f.reported {
		return
	}
	f.reported = true
	f.Log.Error(nil, "another process writes the same checkpoint file, give each its own",
		"path", f.Path, "boot", boot, "otherBoot", s.Boot, "otherSequence", s.Sequence)
}

// keepOld gives the file that is about to be replaced a second name, so that
// Path itself is never missing.
func (f *FileStore) keepOld() error {
	switch {
	case f.last == nil:
		return nil
	case f.aside != "":
		return f.setAside()
	}
	// The generation before is a help, not a need: a file system that has no
	// hard links does without.
	_ = os.Remove(f.previous())
	_ = os.Link(f.Path, f.previous())
	return nil
}

func (f *FileStore) setAside() error {
	to := f.asidePrefix() + f.now().UTC().Format("20060102T150405.000Z")
	if err := os.Link(f.Path, to); err != nil {
		if err := os.Rename(f.Path, to); err != nil {
			return err
		}
	}
	f.Log.Info("checkpoint file set aside", "path", f.Path, "as", to, "why", f.aside)
	names := siblings(f.asidePrefix())
	for len(names) > maxAside {
		_ = os.Remove(names[0]) // it is tried again the next time
		names = names[1:]
	}
	return nil
}

// writeTemp writes doc to a new file beside Path, down to the disk.
func (f *FileStore) writeTemp(doc []byte) (path string, info fs.FileInfo, err error) {
	file, err := os.CreateTemp(filepath.Dir(f.Path), filepath.Base(f.tempPrefix())+"*")
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	if _, err := file.Write(doc); err != nil {
		return "", nil, err
	}
	if err := file.Sync(); err != nil {
		return "", nil, err
	}
	if info, err = file.Stat(); err != nil {
		return "", nil, err
	}
	return file.Name(), info, file.Close()
}

// removeOrphans removes what a process left that was killed while it wrote. If
// it takes the file from under a process that is alive, that one's save fails
// and is repeated.
func (f *FileStore) removeOrphans() {
	for _, path := range siblings(f.tempPrefix()) {
		_ = os.Remove(path) // it does no harm if it stays
	}
}

// siblings returns the files whose path begins with prefix, in the order of
// their names.
func siblings(prefix string) []string {
	dir, base := filepath.Split(prefix)
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return nil // what can't be listed will fail again where it matters
	}
	var paths []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), base) {
			paths = append(paths, dir+e.Name())
		}
	}
	slices.Sort(paths)
	return paths
}

func (f *FileStore) previous() string { return f.Path + ".1" }

func (f *FileStore) asidePrefix() string { return f.Path + "." + f.aside + "-" }

func (f *FileStore) tempPrefix() string {
	dir, base := filepath.Split(f.Path)
	return dir + "." + base + ".tmp-"
}

func (f *FileStore) now() time.Time {
	if f.Now != nil {
		return f.Now()
	}
	return time.Now()
}

// readFile reads a regular file, as far as a checkpoint can reach.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	// Opening a named pipe would block, so look before.
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("read %s: it is no regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	// What was opened may be another file by now.
	if info, err = file.Stat(); err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, MaxSize+1))
	return data, info, err
}

// sameFile reports whether a is b, unchanged. b may be nil.
func sameFile(a, b fs.FileInfo) bool {
	return b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
