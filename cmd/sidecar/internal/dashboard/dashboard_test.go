package dashboard

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/terminal"
	"github.com/foo-protocol/foo-sidecar/internal/golden"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// recorded returns an event that a sidecar sent, changed by a test.
func recorded(t *testing.T, file string, first bool, change func(d *Document)) *Document {
	t.Helper()
	event, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Parse(event, first)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(d)
	}
	return d
}

// now is a moment after the recorded events.
var now = time.Date(2026, 11, 21, 12, 30, 0, 0, time.UTC)

func text(lines []terminal.Line) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line.Render(0, false) + "\n")
	}
	return b.String()
}

func compare(t *testing.T, file string, lines []terminal.Line) {
	t.Helper()
	golden.Compare(t, "testdata/"+file, text(lines), "run go test ./cmd/sidecar/internal/dashboard -update")
}

// troubled is a document of a sidecar with all troubles.
func troubled(d *Document) {
	s := &d.Stats
	s.RequestRate1s, s.InFlight, s.OldestRequestSeconds, s.Queue = 1234567, 42, 3.2, 2
	s.LocalNaks, s.Unanswered, s.Malformed, s.Connections.Rejected, s.AcceptErrors = 7, 3, 1, 5, 1
	s.Upstreams[0].Endpoints = append(s.Upstreams[0].Endpoints,
		telemetry.EndpointStats{Address: "foo-b:8001", Dialed: 2, Failed: 5, LastError: "lookup foo-b: \x1b[2Jno such host", LastFailure: s.Time.Add(-3 * time.Second)},
		telemetry.EndpointStats{Address: "foo-c:8001"})
	s.Config.LastError, s.Config.LastErrorAt, s.Config.Degraded = "listeners[0].port: unknown key\nlog: a number\n", s.Time.Add(-time.Hour), true
	s.Checkpoint.Working, s.Checkpoint.LastError = false, "no space left on device"
	d.Status.Reasons = []string{"listener b does not accept connections"}
	d.Status.Listeners = append(d.Status.Listeners, d.Status.Listeners[0])
	d.Status.Listeners[1].Name, d.Status.Listeners[1].Bound = "b", false
	d.Recent.Slow = nil
}

func TestOneSidecar(t *testing.T) {
	b := New([]string{"127.0.0.1:8088"}, SortGiven, time.Second)
	if b.Complete() {
		t.Error("the board is complete before anything was heard")
	}
	compare(t, "connecting.golden.txt", b.Screen(8, now))
	b.Take(Report{Document: recorded(t, "event.json", true, nil)}, now)
	if !b.Complete() || b.Err() != nil {
		t.Errorf("complete: %t, %v", b.Complete(), b.Err())
	}
	compare(t, "one.golden.txt", b.Screen(40, now))
	compare(t, "once.golden.txt", b.Once(now))
}

func TestSeveralSidecars(t *testing.T) {
	b := New([]string{"10.0.0.9:8088", "10.0.0.10:8088", "web-0.shop:8088", "new:8088", "gone:8088"}, SortRate, 2*time.Second)
	b.Take(Report{Sidecar: 0, Document: recorded(t, "event.json", true, nil)}, now)
	b.Take(Report{Sidecar: 1, Err: errors.New("connect: \x07connection refused")}, now)
	b.Take(Report{Sidecar: 2, Document: recorded(t, "event.json", true, troubled)}, now)
	b.Take(Report{Sidecar: 4, Document: recorded(t, "update.json", true, nil)}, now.Add(-time.Minute))
	b.Take(Report{Sidecar: 4, Err: errors.New("no answer within 5s")}, now)
	b.Select(-9) // as far up as there are rows
	compare(t, "several.golden.txt", b.Screen(40, now))
	// All is said again of the one that has gone, but as of then.
	b.Select(9)
	compare(t, "gone.golden.txt", b.Screen(20, now))
	b.Select(-1)
	compare(t, "unreached.golden.txt", b.Screen(12, now))
	if err := b.Err(); err == nil || !strings.Contains(err.Error(), "no answer within 5s") {
		t.Errorf("got %v, want why sidecars are not reached", err)
	}
}

func TestScreenFitsWhateverItsHeight(t *testing.T) {
	names := make([]string, 50)
	for i := range names {
		names[i] = string(rune('A'+i)) + ":1"
	}
	b := New(names, SortGiven, time.Second)
	for i := range names {
		b.Take(Report{Sidecar: i, Document: recorded(t, "event.json", true, nil)}, now)
	}
	b.Select(33)
	for height := 1; height < 100; height++ {
		lines := b.Screen(height, now)
		if len(lines) != height {
			t.Errorf("height %d: got %d lines", height, len(lines))
		}
		if height > 4 && !strings.Contains(text(lines[2:]), names[33]) {
			t.Errorf("height %d: the selected sidecar is not shown:\n%s", height, text(lines))
		}
	}
}

// order returns the names as a board shows them.
func order(b *Board) (names []string) {
	for _, e := range b.sorted() {
		names = append(names, e.name)
	}
	return names
}

func TestRowsAreSorted(t *testing.T) {
	b := New([]string{"b", "lost", "a", "c"}, SortGiven, time.Second)
	for i, change := range []func(d *Document){
		func(d *Document) {
			d.Stats.RequestRate1s, d.Stats.InFlight, d.Stats.OldestRequestSeconds = 5, 1, 3
			d.History = []telemetry.Point{{RequestRate: 10, Failed: 1, P50: 1, P99: 2}}
		},
		nil,
		func(d *Document) {
			d.Stats.RequestRate1s, d.Stats.InFlight, d.Stats.OldestRequestSeconds = 7, 2, 1
			d.History = []telemetry.Point{{RequestRate: 10, Failed: 3, P50: 1, P99: 3}}
		},
		func(d *Document) {
			d.Stats.RequestRate1s, d.Stats.InFlight, d.Stats.OldestRequestSeconds = 6, 3, 2
			d.History = []telemetry.Point{{RequestRate: 10, Failed: 2, P50: 1, P99: 1}}
		},
	} {
		if change == nil {
			b.Take(Report{Sidecar: i, Err: errors.New("gone")}, now)
			continue
		}
		b.Take(Report{Sidecar: i, Document: recorded(t, "event.json", true, change)}, now)
	}
	want := map[Sort]string{
		SortGiven: "b lost a c", SortName: "a b c lost", SortRate: "a c b lost", SortLatency: "a b c lost",
		SortFailed: "a c b lost", SortInFlight: "c a b lost", SortOldest: "b c a lost",
	}
	for range Sorts {
		if got := strings.Join(order(b), " "); got != want[b.sort] {
			t.Errorf("by %s: got %s, want %s", b.sort, got, want[b.sort])
		}
		b.NextSort()
	}
	if b.sort != SortGiven {
		t.Errorf("after all orders: got %s, want the first", b.sort)
	}
	b.Reverse()
	if got := strings.Join(order(b), " "); got != "c a lost b" {
		t.Errorf("reversed: got %s", got)
	}
}

func TestSortTellsWhatThereIs(t *testing.T) {
	var s Sort
	if err := s.Set("p99"); err != nil || s != SortLatency {
		t.Errorf("got %s, %v", s, err)
	}
	if err := s.Set("size"); err == nil || !strings.Contains(err.Error(), "given, name, rate") {
		t.Errorf("got %v, want an error that names the orders", err)
	}
}

func TestHistoryIsThatOfOneProcess(t *testing.T) {
	b := New([]string{"a"}, SortGiven, time.Second)
	e := b.entries[0]
	for _, step := range []struct {
		file  string
		first bool
		want  int
	}{{"event.json", true, 3}, {"update.json", false, 4}, {"update.json", false, 5}, {"event.json", true, 3}} {
		b.Take(Report{Document: recorded(t, step.file, step.first, nil)}, now)
		if len(e.history) != step.want {
			t.Errorf("%s: got %d seconds, want %d", step.file, len(e.history), step.want)
		}
	}
	for range 400 {
		b.Take(Report{Document: recorded(t, "update.json", false, nil)}, now)
	}
	if len(e.history) != historyPoints {
		t.Errorf("at last: got %d seconds, want %d", len(e.history), historyPoints)
	}
}

func TestNewsAreFirstSightLossAndReturn(t *testing.T) {
	b := New([]string{"a"}, SortGiven, time.Second)
	good := Report{Document: recorded(t, "event.json", true, nil)}
	bad := Report{Err: errors.New("gone")}
	var got []bool
	for _, r := range []Report{good, good, bad, bad, good} {
		got = append(got, b.Take(r, now))
	}
	if diff := cmp.Diff([]bool{true, false, true, false, true}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestJSONPassesOnWhatSidecarsSay(t *testing.T) {
	b := New([]string{"a:1", "b:2"}, SortGiven, time.Second)
	b.Take(Report{Sidecar: 0, Document: recorded(t, "event.json", true, nil)}, now)
	b.Take(Report{Sidecar: 1, Err: errors.New("gone")}, now)
	line, err := b.JSON(now)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(line), "\n") != 1 || !strings.HasSuffix(string(line), "\n") {
		t.Errorf("got %q, want one line", line)
	}
	var got struct {
		Time     time.Time
		Sidecars []struct {
			Address, Error string
			Stats          any
			Status         any
			Second         *telemetry.Point
		}
	}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	event, err := os.ReadFile("testdata/event.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Stats, Status any }
	if err := json.Unmarshal(event, &want); err != nil {
		t.Fatal(err)
	}
	a, gone := got.Sidecars[0], got.Sidecars[1]
	if diff := cmp.Diff(want.Stats, a.Stats) + cmp.Diff(want.Status, a.Status); diff != "" || a.Address != "a:1" || a.Error != "" {
		t.Errorf("%s %s (-want +got):\n%s", a.Address, a.Error, diff)
	}
	if a.Second == nil || a.Second.RequestRate < 299 {
		t.Errorf("the newest second: got %+v", a.Second)
	}
	if gone.Address != "b:2" || gone.Error != "gone" || gone.Stats != nil {
		t.Errorf("a sidecar that can't be reached: got %+v", gone)
	}
}

func TestEventThatIsNoneIsRefused(t *testing.T) {
	for _, event := range []string{"", "null", "{}", "[]", `{"stats":{},"status":[]}`, `{"stats":{},"status":{},"history":[1]}`,
		`{"stats":{},"status":{},"recent":1}`} {
		if _, err := Parse([]byte(event), true); err == nil {
			t.Errorf("%q: got no error", event)
		}
	}
}

func FuzzScreen(f *testing.F) {
	event, err := os.ReadFile("testdata/event.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(event, 40)
	f.Add([]byte(`{"stats":{"config":{},"upstreams":[{"endpoints":[{"address":"\u001b","last_error":"\u009b"}]}]},"status":{"listeners":[{}]}}`), 3)
	f.Fuzz(func(t *testing.T, event []byte, height int) {
		d, err := Parse(event, true)
		if err != nil {
			return
		}
		b := New([]string{"a", "b"}, SortFailed, time.Second)
		b.Take(Report{Document: d}, now)
		for _, line := range append(b.Screen(height%200, now), b.Once(now)...) {
			for _, span := range line {
				if terminal.Safe(span.Text) != span.Text {
					t.Errorf("%q would not simply appear", span.Text)
				}
			}
		}
		if _, err := b.JSON(now); err != nil {
			t.Error(err)
		}
	})
}
