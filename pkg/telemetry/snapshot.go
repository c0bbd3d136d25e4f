package telemetry

import (
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/upstream"
)

// Snapshot is everything that is known of the process at one moment. The
// statistics, the metrics, the status and the checkpoint are all made from it,
// so that no two of them can disagree.
type Snapshot struct {
	// Time is when the snapshot was taken, and Uptime how long the process had
	// been running then.
	Time   time.Time
	Uptime time.Duration
	// Version is the sidecar's.
	Version string
	// All is the traffic of all listeners that there ever were.
	All Traffic
	// Listeners are those of the configuration, by name. Retired are those that
	// have been removed from it; a checkpoint must keep them, for they are part
	// of All.
	Listeners, Retired []Traffic
	// Upstreams are those of the configuration.
	Upstreams  []upstream.Stats
	Config     ConfigState
	Checkpoint CheckpointState
	// Recovered is nil if the process started from nothing.
	Recovered *Recovered
	// Spans is how tracing goes, and LogLines what [Logger.Lines] says.
	Spans    SpanStats
	LogLines LogLines
}

// Traffic is what passed through one listener, or through all.
type Traffic struct {
	// Name is the listener's, empty for all.
	Name string
	// Counts are those of this process. Restored are those of its predecessors,
	// known from a checkpoint; nothing in them is in flight or open.
	Counts, Restored proxy.Counts
	// Rates cover what predecessors saw in the last ten seconds as well.
	Rates Rates
	// Latency is that of the pairs in Counts.
	Latency Histogram
	// Buckets are what Rates was made from. Only a checkpoint has them, and only of
	// single listeners.
	Buckets []Bucket
	// OldestRequest is how long the oldest request in flight has been waiting, zero
	// if there is none.
	OldestRequest time.Duration
	// Exemplars are the traces that are shown beside the counts.
	Exemplars Exemplars
}

// Total returns the counts since the counting began, over all processes.
func (t *Traffic) Total() proxy.Counts {
	total := t.Counts
	total.Add(&t.Restored)
	return total
}

// ConfigState is what runs and how the last attempts to replace it went.
type ConfigState struct {
	// Number of the configuration that runs; the first one has 1.
	Generation int64 `json:"generation"`
	// Short hash of the effective configuration.
	Hash string `json:"hash"`
	// When the configuration that runs was put in force.
	LoadedAt time.Time `json:"loaded_at,omitzero"`
	// Reloads that succeeded; the load at the start is not one.
	Reloads int64 `json:"reloads"`
	// Reloads that failed and changed nothing.
	Failures int64 `json:"failures"`
	// Why the last load failed; absent if it succeeded.
	LastError string `json:"last_error,omitempty"`
	// When a load failed last; absent if none did.
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	// Whether the last good configuration of an earlier process runs, because the one to start with was not valid.
	Degraded bool `json:"degraded"`
}

// CheckpointState is how the saving of checkpoints goes.
type CheckpointState struct {
	// Whether checkpoints are written at all.
	Enabled bool `json:"enabled"`
	// Where they are written to; absent if not enabled.
	Store string `json:"store,omitempty"`
	// Whether the last write succeeded; true before the first.
	Working bool `json:"working"`
	// Checkpoints that were written.
	Writes int64 `json:"writes"`
	// Attempts to write one that failed.
	Failures int64 `json:"failures"`
	// Size of the last checkpoint that was written, in bytes.
	Bytes int64 `json:"bytes"`
	// When the last checkpoint was written; absent if none was.
	LastSuccess time.Time `json:"last_success,omitzero"`
	// Why the last attempt failed; absent if it succeeded.
	LastError string `json:"last_error,omitempty"`
}

// Recovered is what the process started from.
type Recovered struct {
	// Where the checkpoint was found; empty if none could be used.
	From string `json:"from"`
	// How old it was at the start, in seconds.
	AgeSeconds float64 `json:"age_seconds"`
	// The part of the 10 s window that was known again at the start, from 0 to 1.
	WindowCoverage float64 `json:"window_coverage"`
	// How often the process has been restarted since the counting began, this start included.
	Restarts int64 `json:"restarts"`
	// What was wrong with the checkpoint; absent if nothing was.
	Damage string `json:"damage,omitempty"`
}

// SpanStats is how the tracing of pairs goes.
type SpanStats struct {
	// Pairs that were chosen to become a span.
	Sampled int64 `json:"sampled"`
	// Spans that were handed to the collector.
	Exported int64 `json:"exported"`
	// Pairs and spans that were left out.
	Dropped SpanDrops `json:"dropped"`
}

// SpanDrops are the pairs and spans that were left out, by reason.
type SpanDrops struct {
	// Pairs above the limit per second.
	Limit int64 `json:"limit"`
	// Pairs and spans that found a queue full.
	Queue int64 `json:"queue"`
	// Spans that could not be exported.
	Export int64 `json:"export"`
}

// LogLines are the lines that were logged, by level.
type LogLines struct {
	// For developers.
	Debug int64 `json:"debug"`
	// For operators.
	Info int64 `json:"info"`
	// Failures.
	Error int64 `json:"error"`
}
