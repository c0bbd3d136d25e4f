package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

const (
	// MaxWatchers bounds how many taps there may be at a time.
	MaxWatchers = 8
	// DefaultTapRate is how many lines a second a watcher gets that wants no other
	// number.
	DefaultTapRate = 100
	// MaxTapRate is the largest number of lines a second that it can want.
	MaxTapRate = 1000

	// tapBacklog is how many lines a watcher may be behind.
	tapBacklog = 256
	// candidateRate is how many pairs a second are looked at only because somebody
	// watches, and candidateBurst how many at once. A regular expression that
	// seldom matches must not cost a processor.
	candidateRate  = 5000
	candidateBurst = 1000
)

// ErrTooManyWatchers is what [Inspector.Tap] returns while there are
// [MaxWatchers].
var ErrTooManyWatchers = fmt.Errorf("there are %d watchers already, which is the most there may be", MaxWatchers)

var errStopped = errors.New("the sidecar is shutting down")

// Filter says which pairs a watcher wants to see.
type Filter struct {
	// Outcomes are those of [Record.Outcome]. None means all.
	Outcomes []string
	// Slower are pairs that took at least so long.
	Slower time.Duration
	// Match, unless nil, must match the line as it would be shown: a payload only
	// if payloads are shown.
	Match *regexp.Regexp
	// Rate is how many lines a second there are at most. Zero means
	// DefaultTapRate, and MaxTapRate is the most.
	Rate int
}

// watcher is one tap.
type watcher struct {
	tap     proxy.Tap
	match   *regexp.Regexp
	rate    int
	omitted atomic.Int64 // pairs left out since the watcher was last told
	room    bucket       // Run's

	mu     sync.Mutex // guards the fields below
	lines  chan []byte
	closed bool
}

// Tap starts to watch pairs, until ctx is done. The channel has a line of JSON,
// newline included, for each: a [Record]. A line {"omitted":n} says that n pairs
// before it, which the filter wanted as far as is known without a look at their
// lines, were left out: above the rate, or because they were too many to look
// at, or because the channel was not read. The channel is closed when ctx is
// done, and when [Inspector.Run] returns.
func (i *Inspector) Tap(ctx context.Context, f Filter) (<-chan []byte, error) {
	w, err := newWatcher(f)
	if err != nil {
		return nil, fmt.Errorf("tap: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.stopped:
		return nil, errStopped
	case len(i.watchers) >= MaxWatchers:
		return nil, ErrTooManyWatchers
	}
	i.watchers = append(slices.Clip(i.watchers), w)
	i.want()
	context.AfterFunc(ctx, func() { i.leave(w) })
	return w.lines, nil
}

func newWatcher(f Filter) (*watcher, error) {
	w := &watcher{
		match: f.Match,
		rate:  f.Rate,
		tap:   proxy.Tap{Slower: f.Slower},
		lines: make(chan []byte, tapBacklog),
	}
	switch {
	case f.Rate < 0 || f.Rate > MaxTapRate:
		return nil, fmt.Errorf("rate must be 1 to %d lines a second, got %d", MaxTapRate, f.Rate)
	case f.Slower < 0:
		return nil, fmt.Errorf("slower must not be negative, got %s", f.Slower)
	case f.Rate == 0:
		w.rate = DefaultTapRate
	}
	for o := range proxy.NumOutcomes {
		w.tap.Outcomes[o] = len(f.Outcomes) == 0
	}
	for _, name := range f.Outcomes {
		o, err := outcome(name)
		if err != nil {
			return nil, err
		}
		w.tap.Outcomes[o] = true
	}
	return w, nil
}

func outcome(name string) (proxy.Outcome, error) {
	names := make([]string, proxy.NumOutcomes)
	for o := range proxy.NumOutcomes {
		if names[o] = o.String(); names[o] == name {
			return o, nil
		}
	}
	return 0, fmt.Errorf("outcome must be one of %s, got %.50q", strings.Join(names, ", "), name)
}

// leave ends a tap, and what the sessions do for it.
func (i *Inspector) leave(w *watcher) {
	i.mu.Lock()
	i.watchers = slices.DeleteFunc(slices.Clone(i.watchers), func(other *watcher) bool { return other == w })
	i.want()
	i.mu.Unlock()
	w.close()
}

// union returns what covers all watchers, nil if there are none.
func union(watchers []*watcher) *proxy.Tap {
	if len(watchers) == 0 {
		return nil
	}
	all := watchers[0].tap
	for _, w := range watchers[1:] {
		all.Slower = min(all.Slower, w.tap.Slower)
		for o, wanted := range w.tap.Outcomes {
			all.Outcomes[o] = all.Outcomes[o] || wanted
		}
	}
	return &all
}

// wants reports whether a watcher wants a pair, as far as can be told without
// its line.
func (w *watcher) wants(p *proxy.Pair) bool {
	return p.Why&proxy.WhyTapped != 0 && w.tap.Outcomes[p.Outcome] && p.End-p.Start >= w.tap.Slower
}

// tapped reports whether a pair is to be looked at for a watcher. i.mu must be
// held.
func (i *Inspector) tapped(p *proxy.Pair, at time.Duration) bool {
	if !slices.ContainsFunc(i.watchers, func(w *watcher) bool { return w.wants(p) }) {
		return false
	}
	// Half of the queue is for the pairs that are chosen.
	if len(i.queue) < queueSize/2 && i.candidates.take(at, candidateRate, candidateBurst, 0) {
		return true
	}
	i.leaveOut(p)
	return false
}

// leaveOut counts a pair that the watchers won't see. i.mu must be held.
func (i *Inspector) leaveOut(p *proxy.Pair) {
	for _, w := range i.watchers {
		if w.wants(p) {
			w.omitted.Add(1)
		}
	}
}

// missed counts the pairs that somebody watches and that found no room in a
// batch, where the counts of the batch tell. i.mu must be held.
func (i *Inspector) missed(b *proxy.Batch) {
	if b.Interest == nil || b.Interest.Tap == nil || b.Interest.Tap.Slower > 0 {
		return
	}
	missing := ended(b)
	for k := range b.Pairs {
		missing[b.Pairs[k].Outcome]--
	}
	for _, w := range i.watchers {
		for o, n := range missing {
			if n > 0 && w.tap.Outcomes[o] && w.tap.Slower == 0 && b.Interest.Tap.Outcomes[o] {
				w.omitted.Add(n)
			}
		}
	}
}

// show gives the line of a record to the watchers that want it. Only Run calls
// it.
func (i *Inspector) show(p *proxy.Pair, r *Record) {
	var line []byte
	for _, w := range i.watching() {
		if !w.wants(p) {
			continue
		}
		if line == nil {
			line = jsonLine(r)
		}
		if w.match != nil && !w.match.Match(line[:len(line)-1]) {
			continue
		}
		if !w.room.take(i.options.Now(), w.rate, w.rate, 0) || !w.send(line) {
			w.omitted.Add(1)
		}
	}
}

// tellOmitted tells the watchers how much they did not see.
func (i *Inspector) tellOmitted() {
	for _, w := range i.watching() {
		if n := w.omitted.Swap(0); n > 0 && !w.send(omittedLine(n)) {
			w.omitted.Add(n)
		}
	}
}

func (i *Inspector) watching() []*watcher {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.watchers
}

// jsonLine returns a record as a line of JSON. It is for terminals, so that
// characters that are special to HTML stay as they are.
func jsonLine(r *Record) []byte {
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		panic("BUG: a record can't be JSON: " + err.Error())
	}
	return line.Bytes()
}

func omittedLine(n int64) []byte {
	return append(strconv.AppendInt([]byte(`{"omitted":`), n, 10), '}', '\n')
}

// send gives a line to the watcher, unless it is too far behind or gone.
func (w *watcher) send(line []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	select {
	case w.lines <- line:
		return true
	default:
		return false
	}
}

func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed = true
		close(w.lines)
	}
}
