package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/golden"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/upstream"
)

// example returns a snapshot in which every counter is different, so that no
// two can be mistaken for each other.
func example(t *testing.T) Snapshot {
	t.Helper()
	now := 16 * time.Second
	r := NewRegistry(Options{
		Now:  func() time.Duration { return now },
		Wall: func() time.Time { return noon },
	})
	restored := proxy.Counts{Requests: 1_000_000, Acked: 999_990, Opened: 1000, Positives: 999_990}
	restored.Closed[proxy.ClosedByClient] = 1000
	if err := r.Restore("default", Totals(restored), nil); err != nil {
		t.Fatal(err)
	}
	b := &proxy.Batch{At: 19500 * time.Millisecond, Latencies: []time.Duration{
		60 * time.Microsecond, 800 * time.Microsecond, 2500 * time.Microsecond, 20 * time.Second,
	}}
	n := int64(0)
	numbers(reflect.ValueOf(&b.Counts).Elem(), func(v reflect.Value) {
		n++
		v.SetInt(n)
	})
	b.Requests, b.Opened, b.Queued, b.Closed[0] = 500, 900, 300, 0
	r.Listener("default").Observe(b)
	now = 19500 * time.Millisecond
	r.Listener("idle")
	now = 20 * time.Second
	r.Listener("gone").Observe(batch(0, 1))
	r.Retain([]string{"default", "idle"})

	s := r.Snapshot()
	s.Version = "v1.2.3"
	s.Uptime = 90 * time.Minute
	s.Upstreams = []upstream.Stats{{
		Name: "default", Open: 7,
		Endpoints: []upstream.EndpointStats{
			{Address: "foo-a:8001", Dialed: 11},
			{Address: "foo-b:8001", Dialed: 2, Failed: 5, LastError: "dial <foo-b:8001>:\nrefused", LastFailure: noon},
		},
	}, {Name: "new"}}
	s.Config = ConfigState{Generation: 4, Hash: "1f2e3d", LoadedAt: noon, Reloads: 3, Failures: 1, LastError: "no such key", LastErrorAt: noon}
	s.Checkpoint = CheckpointState{Enabled: true, Store: "file .data/recovery.json", Working: true, Writes: 42, Failures: 2, Bytes: 4321, LastSuccess: noon}
	s.Recovered = &Recovered{From: "file .data/recovery.json", AgeSeconds: 2.5, WindowCoverage: 0.75, Restarts: 1}
	s.Spans = SpanStats{Sampled: 600, Exported: 601, Dropped: SpanDrops{Limit: 602, Queue: 603, Export: 604}}
	s.LogLines = LogLines{Debug: 610, Info: 611, Error: 612}
	s.Listeners[0].OldestRequest, s.All.OldestRequest = 7*time.Second, 8*time.Second
	return s
}

func TestStatsDocument(t *testing.T) {
	line, err := example(t).Stats().MarshalLine()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
		t.Errorf("not one line that ends in a newline: %q", line)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, line, "", "  "); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "testdata/stats.golden.json", indented.String(), "see whether that was meant and run the test with -update")
}

func TestStatsBeginWithTheHistoricFields(t *testing.T) {
	line, err := at(0).Snapshot().Stats().MarshalLine()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"msg_total":0,"msg_req":0,"msg_ack":0,"msg_nak":0,` +
		`"request_rate_1s":0,"request_rate_10s":0,"response_rate_1s":0,"response_rate_10s":0,`
	if !strings.HasPrefix(string(line), want) {
		t.Errorf("got %s, want it to begin with %s", line, want)
	}
	for _, empty := range []string{`"listeners":[]`, `"upstreams":[]`} {
		if !strings.Contains(string(line), empty) {
			t.Errorf("got %s, want %s in it", line, empty)
		}
	}
	if strings.Contains(string(line), "recovered") || strings.Contains(string(line), "0001-01-01") {
		t.Errorf("shows what has not happened: %s", line)
	}
}

func TestStatsTakeNumbersThatJSONHasNot(t *testing.T) {
	s := example(t)
	s.Recovered.AgeSeconds, s.Recovered.WindowCoverage = math.Inf(1), math.NaN()
	if _, err := s.Stats().MarshalLine(); err != nil {
		t.Error(err)
	}
	if !math.IsInf(s.Recovered.AgeSeconds, 1) {
		t.Error("the snapshot was changed")
	}
}

// TestEveryRequestEndsOnceInTheStats reads the document as a user would and
// holds that its numbers add up, whatever was counted.
func TestEveryRequestEndsOnceInTheStats(t *testing.T) {
	for seed := range uint64(50) {
		flow := &traffic{random: rand.New(rand.NewPCG(seed, 1))}
		r := NewRegistry(Options{Now: func() time.Duration { return flow.now }})
		for range flow.random.IntN(200) {
			r.Listener([]string{"a", "b"}[flow.random.IntN(2)]).Observer().Observe(flow.batch())
		}
		// Sessions do not move between listeners, so only all of them add up to
		// what could be.
		line, err := r.Snapshot().Stats().MarshalLine()
		if err != nil {
			t.Fatal(err)
		}
		var s Stats
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		if err := addsUp(s.TrafficStats); err != nil {
			t.Fatalf("seed %d: %v in %s", seed, err, line)
		}
		if s.InFlight != flow.inFlight || s.Connections.Open != flow.sessions {
			t.Fatalf("seed %d: got %d in flight and %d open, want %d and %d",
				seed, s.InFlight, s.Connections.Open, flow.inFlight, flow.sessions)
		}
	}
}

func addsUp(s TrafficStats) error {
	refused := int64(0)
	for _, reason := range []string{"unavailable", "lost", "draining"} {
		refused += s.LocalNaksByReason[reason]
	}
	switch {
	case s.Requests-s.Unexpected.ServerRequests != s.Acked+s.Naked+s.Unanswered+refused+s.InFlight:
		return errors.New("requests are not the sum of their outcomes")
	case s.Acks+s.Naks != s.Acked+s.Naked+s.UnmatchedAnswers+s.Unexpected.ClientAnswers:
		return errors.New("answers are not the sum of what became of them")
	case s.Total != s.Requests+s.Acks+s.Naks:
		return errors.New("messages are not the sum of their types")
	case s.Latency.Count != s.Acked+s.Naked:
		return errors.New("not every pair was timed")
	case s.Connections.Opened != s.Connections.Open+s.Connections.Closed:
		return errors.New("connections are not the sum of open and closed")
	case total(s.LocalNaksByReason) != s.LocalNaks,
		total(s.UnansweredByReason) != s.Unanswered,
		total(s.Connections.ClosedByReason) != s.Connections.Closed,
		total(s.MalformedByReason.Client)+total(s.MalformedByReason.Upstream) != s.Malformed:
		return errors.New("reasons do not add up")
	}
	return nil
}

func total(byReason map[string]int64) (sum int64) {
	for _, n := range byReason {
		sum += n
	}
	return sum
}
