package load

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// Whatever a server does wrong has its own counter.
func TestWrongAnswersAreDetected(t *testing.T) {
	const n = 4 // requests, all outstanding before the first answer
	for _, tt := range []struct {
		name    string
		answers func(req []string) []string // req: "seq data"
		want    Counts
		texts   map[string]int64
	}{
		{
			name:    "all well",
			answers: func(req []string) []string { return prefixed("ACK ", req) },
			want:    Counts{ACKs: 4},
		},
		{
			name: "two swapped",
			answers: func(req []string) []string {
				seq0, data0, _ := strings.Cut(req[0], " ")
				seq1, data1, _ := strings.Cut(req[1], " ")
				return append(prefixed("ACK ", req[2:]), "ACK "+seq0+" "+data1, "ACK "+seq1+" "+data0)
			},
			want: Counts{ACKs: 2, Wrong: 2},
		},
		{
			name: "another connection's",
			answers: func(req []string) []string {
				seq, _, _ := strings.Cut(req[0], " ")
				return append(prefixed("ACK ", req[1:]), "ACK "+seq+" 00000001000000000000000")
			},
			want: Counts{ACKs: 3, Wrong: 1},
		},
		{
			name: "NAK with another request's words",
			answers: func(req []string) []string {
				_, data, _ := strings.Cut(req[0], " ")
				return append(prefixed("ACK ", req[:3]), "NAK 4 "+data)
			},
			want: Counts{ACKs: 3, Wrong: 1},
		},
		{
			name:    "ACK without Data",
			answers: func(req []string) []string { return append(prefixed("ACK ", req[:3]), "ACK 4") },
			want:    Counts{ACKs: 3, Wrong: 1},
		},
		{
			name:    "one dropped",
			answers: func(req []string) []string { return prefixed("ACK ", req[1:]) },
			want:    Counts{ACKs: 3, Unanswered: 1},
		},
		{
			name:    "one twice",
			answers: func(req []string) []string { return append(prefixed("ACK ", req[:1]), prefixed("ACK ", req)...) },
			want:    Counts{ACKs: 4, Unexpected: 1},
		},
		{
			name:    "one invented",
			answers: func(req []string) []string { return append([]string{"ACK 99 x"}, prefixed("ACK ", req)...) },
			want:    Counts{ACKs: 4, Unexpected: 1},
		},
		{
			name: "no answers at all",
			answers: func(req []string) []string {
				return append([]string{"REQ 1 x", "nonsense", "NAK 0 ERRDECODE", ""}, prefixed("ACK ", req)...)
			},
			want: Counts{ACKs: 4, Unexpected: 4},
		},
		{
			name: "a proxy's NAKs",
			answers: func(req []string) []string {
				return append(prefixed("NAK ", req[:1]), "NAK 2 upstream unavailable", "NAK 3 upstream unavailable", "NAK 4")
			},
			want:  Counts{NAKs: 4},
			texts: map[string]int64{"upstream unavailable": 2, "": 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial := scripted(func(_ int, p *peer) {
					var req []string
					for range n {
						r, _ := p.request()
						req = append(req, r)
					}
					p.say(tt.answers(req)...)
					p.drain()
				})
				r := mustRun(t, t.Context(), Options{Dial: dial, Pipeline: n, Size: 32, Requests: n})
				tt.want.Opened, tt.want.Sent = 1, n
				r.BytesSent, r.BytesReceived = 0, 0
				if diff := cmp.Diff(tt.want, r.Counts); diff != "" {
					t.Errorf("counts: -want +got:\n%s", diff)
				}
				if diff := cmp.Diff(tt.texts, r.NAKTexts); diff != "" && len(tt.texts)+len(r.NAKTexts) > 0 {
					t.Errorf("texts of NAKs: -want +got:\n%s", diff)
				}
				if good := tt.want.ACKs+tt.want.NAKs == n && tt.want.Unexpected == 0; r.Complete() != good {
					t.Errorf("complete: got %v, want %v", r.Complete(), good)
				}
			})
		})
	}
}

func prefixed(kind string, req []string) (answers []string) {
	for _, r := range req {
		answers = append(answers, kind+r)
	}
	return answers
}
