package sidecar

import (
	"sync"
	"time"

	"github.com/foo-protocol/foo-sidecar/config"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// state is what is known of the configuration and of the way to the end.
type state struct {
	mu       sync.Mutex // guards the fields below; nothing blocks under it
	cfg      config.Config
	reloads  telemetry.ConfigState
	draining time.Time // zero while it is not
}

func (st *state) config() config.Config {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.cfg
}

func (st *state) get() telemetry.ConfigState {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.reloads
}

// wanted notes the first configuration. Invalid is what was wrong with the one
// that should have been the first, if this one is kept from before.
func (st *state) wanted(cfg config.Config, invalid error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.cfg = cfg
	st.reloads = telemetry.ConfigState{Generation: 1, Hash: config.Hash(cfg), LoadedAt: time.Now()}
	if invalid != nil {
		st.reloads.Degraded = true
		st.reloads.Failures = 1
		st.reloads.LastError, st.reloads.LastErrorAt = invalid.Error(), time.Now()
	}
}

// accepted notes a configuration that replaces the one before.
func (st *state) accepted(cfg config.Config) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.cfg = cfg
	st.reloads.Generation++
	st.reloads.Hash, st.reloads.LoadedAt = config.Hash(cfg), time.Now()
	st.good()
}

// confirmed notes a reload that found nothing new. It reports whether the one
// before had failed.
func (st *state) confirmed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	failed := st.reloads.LastError != ""
	st.good()
	return failed
}

// good notes that what runs is what the file says. st.mu must be held.
func (st *state) good() {
	st.reloads.Reloads++
	st.reloads.LastError = ""
	st.reloads.Degraded = false
}

// refused notes a reload that failed. It reports whether that is news.
func (st *state) refused(err error) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	news := st.reloads.LastError != err.Error()
	st.reloads.Failures++
	st.reloads.LastError, st.reloads.LastErrorAt = err.Error(), time.Now()
	return news
}

func (st *state) drain() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.draining = time.Now()
}

func (st *state) drainingSince() time.Time {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.draining
}
