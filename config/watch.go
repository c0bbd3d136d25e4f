package config

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	defaultDebounce     = 200 * time.Millisecond
	defaultPollInterval = 10 * time.Second

	// maxDebounces bounds how long a steady stream of events can put off a look
	// at the file, in units of the debounce.
	maxDebounces = 10
)

// WatchOptions says what [Watch] watches.
type WatchOptions struct {
	// File is the configuration file. It need not exist. Required.
	File string
	// Since is the [Fingerprint] that the file had before it was loaded, so
	// that no change in between is missed. Empty: the file was not loaded.
	Since string
	// Changed is called when the file may have to be loaded again; never twice
	// at once. It is told whether the content changed (which it also does by
	// vanishing, by coming back and by becoming unreadable) or was only asked
	// for through Trigger. Required.
	Changed func(content bool)
	// Trigger asks for a call of Changed, whether the content changed or not.
	// It must not be closed. Nil: nobody asks.
	Trigger <-chan struct{}
	// Debounce is how long the file system must have been quiet before the
	// file is looked at, so that it is not read half-written. Zero means 200ms.
	Debounce time.Duration
	// PollInterval returns how often the file is looked at anyway. It is asked
	// anew each time. Nil means 10s.
	PollInterval func() time.Duration
	// Warn is told when changes are noticed by polling alone, and why. Nil:
	// nobody.
	Warn func(error)

	// notify makes the file system's notifier. Nil means fsnotify.NewWatcher.
	notify func() (*fsnotify.Watcher, error)
}

func (o WatchOptions) withDefaults() WatchOptions {
	o.Debounce = cmp.Or(o.Debounce, defaultDebounce)
	if o.PollInterval == nil {
		o.PollInterval = func() time.Duration { return defaultPollInterval }
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	if o.notify == nil {
		o.notify = fsnotify.NewWatcher
	}
	return o
}

// Fingerprint names the content of a file: equal contents have equal
// fingerprints. It is empty if the file cannot be read.
func Fingerprint(file string) string {
	data, err := readLimited(file)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Watch calls Changed whenever the content of the file has changed, until ctx
// ends; then it returns nil. It never loads the file.
//
// It takes the file system's events as hints only: whatever happened, it looks
// at the file's content. So it does not matter whether a file was written in
// place, replaced by a rename, removed and made anew, or changed by a swap of
// a symbolic link, as in a volume made from a ConfigMap. Where no events can be
// had, a slow poll still finds each change.
func Watch(ctx context.Context, o WatchOptions) error {
	if o.File == "" || o.Changed == nil {
		return errors.New("watch configuration: no file or nobody to tell")
	}
	w := &watcher{WatchOptions: o.withDefaults(), last: o.Since}
	if n, err := w.notify(); err != nil {
		w.warn(err)
	} else {
		defer n.Close() //nolint:errcheck // it is not used any more
		w.notifier, w.events, w.errors = n, n.Events, n.Errors
	}
	w.run(ctx)
	return nil
}

// watcher is the state of one Watch. It belongs to one goroutine.
type watcher struct {
	WatchOptions

	notifier *fsnotify.Watcher // nil if there is none
	events   <-chan fsnotify.Event
	errors   <-chan error
	warned   bool   // about what is the case still
	last     string // the fingerprint that was reported last
}

func (w *watcher) run(ctx context.Context) {
	w.look(false)
	poll := time.NewTimer(w.pollInterval())
	defer poll.Stop()
	quiet := time.NewTimer(0) // runs while events come
	quiet.Stop()
	defer quiet.Stop()
	var deadline time.Time // by which the file is looked at; zero if no event came

	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-w.events:
			deadline = w.postpone(quiet, deadline)
			continue
		case <-w.errors: //nolint:errcheck // events were lost: any may have been, so the file is looked at
			deadline = w.postpone(quiet, deadline)
			continue
		case <-quiet.C:
		case <-poll.C:
		case <-w.Trigger:
			asked = true
		}
		quiet.Stop()
		deadline = time.Time{}
		w.look(asked)
		poll.Reset(w.pollInterval())
	}
}

// postpone sets the timer to fire when it has been quiet for long enough, or
// at the deadline, which the first event sets.
func (w *watcher) postpone(quiet *time.Timer, deadline time.Time) time.Time {
	if deadline.IsZero() {
		deadline = time.Now().Add(maxDebounces * w.Debounce)
	}
	quiet.Reset(min(w.Debounce, time.Until(deadline)))
	return deadline
}

func (w *watcher) pollInterval() time.Duration {
	return max(w.PollInterval(), time.Duration(minRepeat))
}

// look calls Changed if the file's content is not what it was, or if asked.
// Directories are watched before the file is read, so that a later change is
// seen as an event.
func (w *watcher) look(asked bool) {
	w.follow()
	now := Fingerprint(w.File)
	changed := now != w.last
	w.last = now
	if changed || asked {
		w.Changed(changed)
	}
}

// follow watches the directories in which a change of the file shows. They
// change with the file: links are swapped, directories vanish and come back.
func (w *watcher) follow() {
	if w.notifier == nil {
		return
	}
	// Directories may come and go while they are looked up, so this is done
	// again until nothing is new; the poll is there if that does not end.
	const patience = 10
	var watched []string
	for range patience {
		wanted := directories(w.File)
		if slices.Equal(wanted, watched) {
			w.warned = false
			return
		}
		watched = wanted
		// What is no longer wanted goes first: under two names a directory has
		// one watch only.
		for _, old := range w.notifier.WatchList() {
			if !slices.Contains(wanted, old) {
				_ = w.notifier.Remove(old) // it may be gone already
			}
		}
		for _, dir := range wanted {
			err := w.notifier.Add(dir)
			if errors.Is(err, fs.ErrNotExist) {
				watched = nil
			} else if err != nil {
				w.warn(fmt.Errorf("%s: %w", dir, err))
				return
			}
		}
	}
}

// directories returns the directory that holds the file, or else the nearest
// one above that exists, and the one that holds what the file links to.
func directories(file string) []string {
	dir := filepath.Dir(file)
	for !isDirectory(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	all := []string{dir}
	if target, err := filepath.EvalSymlinks(file); err == nil {
		if holder := filepath.Dir(target); holder != dir {
			all = append(all, holder)
		}
	}
	return all
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// warn says once that events cannot be had, until they can.
func (w *watcher) warn(err error) {
	if !w.warned {
		w.warned = true
		w.Warn(fmt.Errorf("watch configuration, noticing changes by polling only: %w", err))
	}
}
