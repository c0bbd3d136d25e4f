package proxy

import (
	"slices"
	"testing"
	"time"
)

// model is the obvious pairing: a list.
type model []struct {
	seq int64
	at  time.Duration
}

func (m *model) find(seq int64) (index int, ok bool) {
	for i, r := range *m {
		if r.seq == seq {
			return i, true
		}
	}
	return 0, false
}

func (m *model) take(seq int64) (time.Duration, bool) {
	i, ok := m.find(seq)
	if !ok {
		return 0, false
	}
	at := (*m)[i].at
	*m = slices.Delete(*m, i, i+1)
	return at, true
}

// FuzzPairing drives the pairing and the model with the same operations: each
// byte adds or takes a Seq that is chosen so that runs, holes, duplicates and
// jumps all occur.
func FuzzPairing(f *testing.F) {
	f.Add([]byte{0, 0, 0, 128, 128, 1, 64, 200})
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xff\xfe\x80\x81"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		var p pairing
		var m model
		next, now := int64(1), time.Duration(0)
		for i, op := range ops {
			now++
			if op < 128 { // add
				seq := next
				switch {
				case op < 100:
					next++
				case op < 110:
					seq = next - int64(op-100) // a duplicate, perhaps
				case op < 114:
					seq = int64(op) << 55 // extremes
				default:
					next += int64(op) // a jump
					seq = next
				}
				duplicate, _ := p.add(seq, sent{at: now})
				if _, want := m.find(seq); duplicate != want {
					t.Fatalf("operation %d, add %d: duplicate is %t, want %t", i, seq, duplicate, want)
				}
				m = append(m, struct {
					seq int64
					at  time.Duration
				}{seq, now})
			} else { // take
				seq := next - int64(op-128)
				if op > 250 && len(m) > 0 {
					seq = m[len(m)/2].seq
				}
				got, gotOK := p.take(seq)
				want, wantOK := m.take(seq)
				if got.at != want || gotOK != wantOK {
					t.Fatalf("operation %d, take %d: got %d %t, want %d %t", i, seq, got.at, gotOK, want, wantOK)
				}
			}
			if len(m) > 0 {
				want := m[0].at
				if got := p.oldest(); got != want {
					t.Fatalf("operation %d: the oldest is of %d, want %d", i, got, want)
				}
			}
			if p.len() != len(m) {
				t.Fatalf("operation %d: %d requests remembered, want %d", i, p.len(), len(m))
			}
		}
		var left, want []int64
		p.drain(func(seq int64, _ *sent) { left = append(left, seq) })
		for _, r := range m {
			want = append(want, r.seq)
		}
		slices.Sort(left)
		slices.Sort(want)
		if !slices.Equal(left, want) {
			t.Fatalf("drained %v, want %v", left, want)
		}
	})
}

func TestPairingIsBoundedWhenNobodyAnswers(t *testing.T) {
	var p pairing
	forgotten := 0
	const requests = 3 * maxOutstanding
	for i := range int64(requests) {
		_, n := p.add(i, sent{at: 1})
		forgotten += n
	}
	if p.len() > maxOutstanding || len(p.ring) > maxOutstanding {
		t.Errorf("remembers %d requests in a ring of %d, want at most %d", p.len(), len(p.ring), maxOutstanding)
	}
	if got := p.len() + forgotten; got != requests {
		t.Errorf("%d requests remembered or forgotten, want %d", got, requests)
	}
	if _, ok := p.take(requests - 1); !ok {
		t.Error("the newest request was forgotten")
	}
	if _, ok := p.take(0); ok {
		t.Error("the oldest request was not forgotten")
	}
}

// TestForgettingIsCheapHoweverTheSeqsAre fills the map with one request a Seq
// and then goes on with one Seq, which walked the whole map for each request.
func TestForgettingIsCheapHoweverTheSeqsAre(t *testing.T) {
	var p pairing
	added, forgotten := 0, 0
	add := func(seq int64) {
		added++
		_, n := p.add(seq, sent{at: 1})
		forgotten += n
	}
	for i := range int64(maxOutstanding) {
		add(3 * i)
	}
	for range 4 * maxOutstanding {
		add(7)
	}
	if p.len()+forgotten != added || p.len() > maxOutstanding {
		t.Errorf("%d remembered and %d forgotten of %d", p.len(), forgotten, added)
	}
	left := 0
	p.drain(func(int64, *sent) { left++ })
	if left+forgotten != added {
		t.Errorf("%d drained and %d forgotten of %d", left, forgotten, added)
	}
}

func TestPairingDoesNotGrowWithAnUnansweredRequest(t *testing.T) {
	var p pairing
	p.add(1, sent{at: 1})
	for seq := int64(2); seq < 1_000_000; seq++ {
		p.add(seq, sent{at: 1})
		if _, ok := p.take(seq); !ok {
			t.Fatalf("request %d is not remembered", seq)
		}
	}
	if len(p.ring) > 2*minRing {
		t.Errorf("the ring has %d places for one request", len(p.ring))
	}
	if _, ok := p.take(1); !ok {
		t.Error("the unanswered request is not remembered")
	}
}

func TestPairingDoesNotAllocateInSteadyState(t *testing.T) {
	var p pairing
	seq := int64(0)
	round := func() {
		for range 64 {
			seq++
			p.add(seq, sent{at: 1})
		}
		for s := seq; s > seq-64; s-- { // answers in reverse
			p.take(s)
		}
	}
	round()
	if got := testing.AllocsPerRun(100, round); got != 0 {
		t.Errorf("got %v allocations a round, want none", got)
	}
}

func BenchmarkPairing(b *testing.B) {
	b.ReportAllocs()
	var p pairing
	for i := range int64(b.N) {
		p.add(i, sent{at: 1})
		if i >= 64 {
			p.take(i - 64)
		}
	}
}
