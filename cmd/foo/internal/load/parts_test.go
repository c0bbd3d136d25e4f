package load

import (
	"maps"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTokenIsAsLongAsDataAllows(t *testing.T) {
	for size, want := range map[int]string{
		0: "", 1: "f", 2: "1f", 3: "d1f", 12: "abcd0000a01f",
		24: "0123abcd000000000000a01f", 99: "0123abcd000000000000a01f",
	} {
		const connection, seq = 0x0123abcd, 0xa01f
		data := make([]byte, size)
		tok := newToken(connection, size)
		tok.put(data, seq)
		if got := string(data[:tok.len()]); got != want {
			t.Errorf("size %d: got %q, want %q", size, got, want)
		}
		if !tok.begins(data, seq) {
			t.Errorf("size %d: not recognised", size)
		}
		other := newToken(connection+1, size)
		if size >= 3 && other.begins(data, seq) || size >= 1 && tok.begins(data, seq+1) {
			t.Errorf("size %d: recognised as another's", size)
		}
		if size > 0 && tok.begins(data[:tok.len()-1], seq) {
			t.Errorf("size %d: recognised although cut", size)
		}
		if isToken(data) != (size >= tokenSize) {
			t.Errorf("size %d: isToken is %v", size, isToken(data))
		}
	}
	for _, text := range []string{"", "upstream unavailable", "no more than forty requests at a time"} {
		if isToken([]byte(text)) {
			t.Errorf("%q was taken for a token", text)
		}
	}
}

// The table behaves like a map.
func FuzzTable(f *testing.F) {
	f.Add([]byte{1, 2, 3, 0x81, 0x83, 4, 0x82})
	f.Fuzz(func(t *testing.T, ops []byte) {
		const limit = 16
		tab, model := newTable(limit), map[int64]time.Duration{}
		for i, op := range ops {
			// A few numbers that are close, and a few that are far apart.
			seq := int64(op&0x3f) + 1
			if op&0x40 != 0 {
				seq <<= 40
			}
			at, known := model[seq]
			if op&0x80 != 0 {
				got, ok := tab.take(seq)
				if got != at || ok != known {
					t.Fatalf("take %d: got %v, %v, want %v, %v", seq, got, ok, at, known)
				}
				delete(model, seq)
			} else if !known && len(model) < limit {
				tab.put(seq, time.Duration(i))
				model[seq] = time.Duration(i)
			}
			if tab.n != len(model) {
				t.Fatalf("got %d requests, want %d", tab.n, len(model))
			}
		}
		for seq, at := range maps.All(model) {
			if got, ok := tab.take(seq); !ok || got != at {
				t.Fatalf("at the end, take %d: got %v, %v, want %v", seq, got, ok, at)
			}
		}
	})
}

func TestTableKnowsNoSeqThatWasNotPut(t *testing.T) {
	tab := newTable(1)
	for _, seq := range []int64{0, -1, 1, math.MinInt64, math.MaxInt64} {
		if _, ok := tab.take(seq); ok {
			t.Errorf("took %d from an empty table", seq)
		}
	}
}

func TestWorkersTakeTurns(t *testing.T) {
	second := schedule{rate: 4, worker: 1, of: 2} // the requests 1, 3, 5... at 250 ms each
	if n, wait := second.due(0, 10); n != 0 || wait != 250*time.Millisecond {
		t.Errorf("at 0s: got %d due and %v to wait", n, wait)
	}
	if n, _ := second.due(time.Second, 10); n != 2 { // at 0.25 s and 0.75 s
		t.Errorf("at 1s: got %d due, want 2", n)
	}
	if n, _ := second.due(time.Hour, 10); n != 10 {
		t.Errorf("at 1h: got %d due, want no more than asked for", n)
	}
	const late = time.Hour
	if from, _ := second.take(late, late); from != 250*time.Millisecond {
		t.Errorf("first: got %v", from)
	}
	if from, _ := second.take(late, late); from != 750*time.Millisecond {
		t.Errorf("second: got %v", from)
	}
	second.giveBack(1)
	if from, _ := second.take(late, late); from != 750*time.Millisecond {
		t.Errorf("second again: got %v", from)
	}
}

func TestOwnImprecisionIsNoLatency(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name                   string
		now, ready, from, late time.Duration
	}{
		{"on time", 1000 * ms, 900 * ms, 1000 * ms, 0},
		{"timer rang late", 1001 * ms, 900 * ms, 1001 * ms, 1 * ms},
		{"held up until then", 1500 * ms, 1500 * ms, 1000 * ms, 0},
		{"held up, then late", 1501 * ms, 1500 * ms, 1000 * ms, 0},
	} {
		s := schedule{rate: 1, of: 1, taken: 1} // the next is due at 1 s
		if from, late := s.take(tt.now, tt.ready); from != tt.from || late != tt.late {
			t.Errorf("%s: got from %v, %v late, want %v, %v", tt.name, from, late, tt.from, tt.late)
		}
	}
}

func TestQuotasAddUpToWhatIsPlanned(t *testing.T) {
	for _, o := range []Options{
		{Connections: 7, Requests: 3}, {Connections: 7, Requests: 100}, {Connections: 1, Requests: 1},
		{Connections: 7, Requests: 3, Rate: 1}, {Connections: 7, Requests: 100, Rate: 1},
		{Connections: 3, Rate: 33.3, Duration: 1500 * time.Millisecond},
	} {
		want, _ := o.planned()
		got := int64(0)
		for _, q := range quotas(o) {
			for q.take(1) == 1 {
				got++
			}
		}
		if got != want {
			t.Errorf("%+v: got %d in all, want %d", o, got, want)
		}
	}
	if got := quotas(Options{Connections: 1, Rate: 5})[0].take(1 << 30); got != 1<<30 {
		t.Errorf("unlimited: got %d", got)
	}
}

func TestRareTextsOfNAKsAreAddedUp(t *testing.T) {
	counted := texts{}
	for i := range 2 * maxTexts {
		for range 2*maxTexts - i {
			counted.add([]byte{byte('a' + i)})
		}
	}
	counted.add([]byte("\xff" + string(make([]byte, 1000))))
	sums := map[string]int64{"rare": 1}
	counted.addTo(sums)
	keepFrequent(sums)
	want := map[string]int64{OtherTexts: 36 + 1 + 9 + 1, "a": 16, "b": 15, "c": 14, "d": 13, "e": 12, "f": 11, "g": 10}
	if diff := cmp.Diff(want, sums); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := testing.AllocsPerRun(100, func() { counted.add([]byte("a")) }); n != 0 {
		t.Errorf("got %v allocations for a known text", n)
	}
}
