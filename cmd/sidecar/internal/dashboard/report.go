package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/admin"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry/inspect"
)

// Report is what one sidecar said last, or why it said nothing.
type Report struct {
	// Sidecar is its index among the names.
	Sidecar int
	// Err is why there is no Document.
	Err error
	// Document is an event of the status page.
	Document *Document
}

// Document is an event of the status page: a document that the sidecar makes
// each second for everybody who watches.
type Document struct {
	Stats  telemetry.Stats
	Status Status
	Recent inspect.Recent
	// History has all that is known in the first event, and what is new in others.
	History []telemetry.Point

	raw rawDocument
	// first tells that the event is the first of a stream.
	first bool
}

// Status is the document of /status.
type Status struct {
	State string `json:"status"`
	admin.Status
}

// rawDocument are those parts that are passed on as they are.
type rawDocument struct {
	Stats   json.RawMessage   `json:"stats"`
	Status  json.RawMessage   `json:"status"`
	Recent  json.RawMessage   `json:"recent"`
	History []json.RawMessage `json:"history"`
}

// Parse reads an event. First tells that it is the first of a stream.
func Parse(event []byte, first bool) (*Document, error) {
	d := &Document{first: first}
	if err := json.Unmarshal(event, &d.raw); err != nil {
		return nil, fmt.Errorf("read an event: %w", err)
	}
	if d.raw.Stats == nil || d.raw.Status == nil {
		return nil, errors.New("read an event: it has no statistics")
	}
	if err := errors.Join(
		json.Unmarshal(d.raw.Stats, &d.Stats),
		json.Unmarshal(d.raw.Status, &d.Status),
	); err != nil {
		return nil, fmt.Errorf("read an event: %w", err)
	}
	if d.raw.Recent != nil {
		if err := json.Unmarshal(d.raw.Recent, &d.Recent); err != nil {
			return nil, fmt.Errorf("read an event: %w", err)
		}
	}
	for _, raw := range d.raw.History {
		var p telemetry.Point
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, fmt.Errorf("read an event: %w", err)
		}
		d.History = append(d.History, p)
	}
	return d, nil
}

// entry is what is known of one sidecar.
type entry struct {
	name    string
	err     error // why the last attempt to learn more failed, nil if it did not
	last    *Document
	seen    time.Time         // when last came
	history []telemetry.Point // the newest is the last
}

// historyPoints is how many seconds an entry remembers.
const historyPoints = 300

// take notes a report. It reports whether that changes how the sidecar is
// reached.
func (e *entry) take(r Report, now time.Time) (news bool) {
	news = e.last == nil || (e.err != nil) != (r.Err != nil)
	e.err = r.Err
	d := r.Document
	if d == nil {
		return news
	}
	e.last, e.seen = d, now
	if d.first {
		e.history = e.history[:0]
	}
	e.history = append(e.history, d.History...)
	e.history = e.history[max(0, len(e.history)-historyPoints):]
	return news
}

// reached reports whether the sidecar's numbers are those of now.
func (e *entry) reached() bool { return e.last != nil && e.err == nil }

// recently are the points of the last so many seconds.
func (e *entry) recently(seconds int) []telemetry.Point {
	return e.history[max(0, len(e.history)-seconds):]
}

// recentSeconds is how far back what is called recent goes.
const recentSeconds = 10

// latency returns the percentiles of the last second in which pairs ended, if
// that is recent.
func (e *entry) latency() (p50, p99 float64, ok bool) {
	for _, p := range slices.Backward(e.recently(recentSeconds)) {
		if p.P99 > 0 {
			return p.P50, p.P99, true
		}
	}
	return 0, 0, false
}

// failed returns how many of the recent requests failed, and how many there
// were.
func (e *entry) failed() (failed, all float64) {
	var requests float64
	for _, p := range e.recently(recentSeconds) {
		failed += p.Failed
		requests += p.RequestRate
	}
	// Those that fail now may have come before.
	return failed, max(failed, requests)
}

// checkpointAge returns how old the newest checkpoint is by the sidecar's own
// clock.
func (e *entry) checkpointAge() (age time.Duration, ok bool) {
	s := &e.last.Stats
	if s.Checkpoint.LastSuccess.IsZero() {
		return 0, false
	}
	return s.Time.Sub(s.Checkpoint.LastSuccess), true
}
