package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
)

// readAll returns every message of src in short form.
func readAll(t testing.TB, src io.Reader, maxLine int) []string {
	t.Helper()
	var got []string
	r := NewReader(src, maxLine)
	for {
		err := r.Fill()
		for m, ok := r.Next(); ok; m, ok = r.Next() {
			if m.Kind == protocol.Malformed {
				got = append(got, "malformed")
				continue
			}
			got = append(got, fmt.Sprintf("%d %d %q", m.Kind, m.ID, m.Data))
		}
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestReaderReturnsSeqAndData(t *testing.T) {
	input := "REQ 1 hello\n" + "ACK 2\n" + "NAK\t+3  two words \r\n" + "REQ -4 \n" +
		"bad\n" + "\n" + "REQ x\n" + "REQ 5 \x01\xff\n" + "REQ 6 unfinished"
	want := []string{
		`1 1 "hello"`, `2 2 ""`, `3 3 "two words"`, `1 -4 ""`,
		"malformed", "malformed", "malformed", `1 5 "\x01\xff"`,
	}
	if diff := cmp.Diff(want, readAll(t, strings.NewReader(input), 100)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLineBeyondTheLimitIsSkippedInBoundedMemory(t *testing.T) {
	const maxLine = 20 << 10
	fits := "REQ 1 " + strings.Repeat("x", maxLine-len("REQ 1 \n")) + "\n"
	for _, tt := range []struct {
		name, line string
		want       string
	}{
		{"longest", fits, fmt.Sprintf("1 1 %q", strings.Repeat("x", maxLine-len("REQ 1 \n")))},
		{"one byte more", "REQ 1 x" + fits[len("REQ 1 "):], "malformed"},
		{"much more", "REQ 1 " + strings.Repeat("x", 50*maxLine) + "\n", "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := NewReader(strings.NewReader(tt.line+"REQ 2 b\n"), maxLine)
			var got []string
			for r.Fill() == nil {
				for m, ok := r.Next(); ok; m, ok = r.Next() {
					if m.Kind == protocol.Malformed {
						got = append(got, "malformed")
						continue
					}
					got = append(got, fmt.Sprintf("%d %d %q", m.Kind, m.ID, m.Data))
				}
			}
			if diff := cmp.Diff([]string{tt.want, `1 2 "b"`}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if len(r.buf) > 2*maxLine {
				t.Errorf("buffer: got %d bytes for lines of at most %d", len(r.buf), maxLine)
			}
		})
	}
}

// The decoder decides what a line is, so the reader has to agree with it
// however the bytes come, and with foo.Data on what Data is.
func FuzzReader(f *testing.F) {
	f.Add([]byte("REQ 1 hello\nACK 2\nNAK\t3  x \r\nnonsense\n"), 40)
	f.Add([]byte("REQ 1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nREQ 2\n"), 10)
	f.Fuzz(func(t *testing.T, input []byte, maxLine int) {
		if maxLine < 1 {
			return
		}
		var want []string
		for line := range bytes.Lines(input) {
			var d foo.Decoder
			_, m := d.Next(line)
			switch {
			case m.Kind == 0: // unfinished
			case m.Kind == protocol.Malformed || len(line) > maxLine:
				want = append(want, "malformed")
			default:
				want = append(want, fmt.Sprintf("%d %d %q", m.Kind, m.ID, foo.Data(string(line))))
			}
		}
		for name, src := range map[string]io.Reader{
			"at once":      bytes.NewReader(input),
			"byte by byte": iotest.OneByteReader(bytes.NewReader(input)),
		} {
			if diff := cmp.Diff(want, readAll(t, src, maxLine)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", name, diff)
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	input := bytes.Repeat([]byte("REQ 12345 00000001000000000000303900000000\n"), 1000)
	src := bytes.NewReader(input)
	r := NewReader(src, 1<<20)
	b.ReportAllocs()
	b.SetBytes(int64(len(input) / 1000))
	for n := 0; n < b.N; {
		if err := r.Fill(); err != nil {
			src.Reset(input)
		}
		for _, ok := r.Next(); ok; _, ok = r.Next() {
			n++
		}
	}
}
