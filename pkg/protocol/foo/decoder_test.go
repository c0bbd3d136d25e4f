package foo

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// decode feeds b in chunks of the given size, zero meaning all at once, and
// returns the messages that ended.
func decode(t *testing.T, d *Decoder, b []byte, chunk int) (messages []protocol.Message) {
	t.Helper()
	if chunk == 0 {
		chunk = max(len(b), 1)
	}
	for len(b) > 0 {
		part := b[:min(chunk, len(b))]
		b = b[len(part):]
		for len(part) > 0 {
			n, m := d.Next(part)
			if n <= 0 || n > len(part) {
				t.Fatalf("Next(%q) consumed %d bytes", part, n)
			}
			if m.Kind == 0 && n != len(part) {
				t.Fatalf("Next(%q) reported nothing and left bytes", part)
			}
			part = part[n:]
			if m.Kind != 0 {
				messages = append(messages, m)
			}
		}
	}
	return messages
}

// quirksOf says by the obvious means what is odd about a line.
func quirksOf(m protocol.Message, line string) (q protocol.Quirks) {
	if m.Kind == protocol.Malformed {
		return 0
	}
	if !utf8.ValidString(line) {
		q |= 1 << protocol.QuirkText
	}
	if strings.HasSuffix(line, "\r\n") {
		q |= 1 << protocol.QuirkCRLF
	}
	return q
}

func TestDecoderNoticesTextThatIsNotUTF8(t *testing.T) {
	ascii := strings.Repeat("x", 70)
	for _, data := range []string{
		"é", "日本語", "😀", "\xff", "\xc3", "\xc3(", "\xe2\x82", "\xe2\x82(", "\xf0\x9f\x98", "\xed\xa0\x80", "\xc0\x80",
		ascii + "é" + ascii, ascii + "\x80" + ascii, ascii + ascii + "😀", "\x80é", "é\xe2é", "\r", "\rx", "é\r",
	} {
		line := "REQ 1 " + data + "\n"
		for _, next := range []string{"ACK 2 " + ascii + "\n", "ACK 2 é\n", "ACK 2 \xff\r\n"} {
			for chunk := range 9 {
				got := decode(t, new(Decoder), []byte(line+next), chunk)
				if len(got) != 2 || got[0].Quirks != quirksOf(got[0], line) || got[1].Quirks != quirksOf(got[1], next) {
					t.Errorf("%q in chunks of %d: got %+v", line+next, chunk, got)
				}
			}
		}
	}
}

func TestDecoderReadsWhatSpeakersSend(t *testing.T) {
	long := strings.Repeat(" ", MaxHeader)
	good := func(k protocol.Kind, id int64) protocol.Message { return protocol.Message{Kind: k, ID: id} }
	bad := func(f protocol.Fault) protocol.Message {
		return protocol.Message{Kind: protocol.Malformed, Fault: f}
	}
	stray := protocol.Message{Kind: protocol.Negative, Stray: true}

	for line, want := range map[string]protocol.Message{
		"REQ 1 hello\n":                    good(protocol.Request, 1),
		"REQ 1\n":                          good(protocol.Request, 1),
		"REQ 1 \n":                         good(protocol.Request, 1),
		"ACK 12\n":                         good(protocol.Positive, 12),
		"ACK 2 Hey there\n":                good(protocol.Positive, 2),
		"NAK 5 Stop it\n":                  good(protocol.Negative, 5),
		"REQ\t1\thello\n":                  good(protocol.Request, 1),
		"REQ  \t 1 \t hello\n":             good(protocol.Request, 1),
		"REQ 1 hello\r\n":                  good(protocol.Request, 1),
		"REQ 1\r\n":                        good(protocol.Request, 1),
		"REQ +7 x\n":                       good(protocol.Request, 7),
		"REQ -7 x\n":                       good(protocol.Request, -7),
		"REQ 007\n":                        good(protocol.Request, 7),
		"REQ 0\n":                          good(protocol.Request, 0),
		"REQ 123456789012345678 x\n":       good(protocol.Request, 123456789012345678),
		"REQ 9223372036854775807 x\n":      good(protocol.Request, math.MaxInt64),
		"REQ -9223372036854775808\n":       good(protocol.Request, math.MinInt64),
		"REQ 1 \xff\x00 binary\n":          good(protocol.Request, 1),
		"NAK 0 ERRDECODE\n":                stray,
		"NAK 0 ERRDECODE\r\n":              stray,
		"NAK  0   ERRDECODE \n":            stray,
		"NAK 00 ERRDECODE\n":               stray,
		"NAK 0 ERRDECODES\n":               good(protocol.Negative, 0),
		"NAK 0 ERRDECOD\n":                 good(protocol.Negative, 0),
		"NAK 0 no\n":                       good(protocol.Negative, 0),
		"NAK 0\n":                          good(protocol.Negative, 0),
		"NAK 1 ERRDECODE\n":                good(protocol.Negative, 1),
		"ACK 0 ERRDECODE\n":                good(protocol.Positive, 0),
		"\n":                               bad(protocol.FaultType),
		"\r\n":                             bad(protocol.FaultType),
		"R\n":                              bad(protocol.FaultType),
		"RE\n":                             bad(protocol.FaultType),
		"req 1\n":                          bad(protocol.FaultType),
		"FOO 1 x\n":                        bad(protocol.FaultType),
		" REQ 1\n":                         bad(protocol.FaultType),
		"REQUEST 1\n":                      bad(protocol.FaultType),
		"REQ1 x\n":                         bad(protocol.FaultType),
		"GET / HTTP/1.1\r\n":               bad(protocol.FaultType),
		"REQ\n":                            bad(protocol.FaultSeq),
		"REQ \n":                           bad(protocol.FaultSeq),
		"REQ x\n":                          bad(protocol.FaultSeq),
		"REQ +\n":                          bad(protocol.FaultSeq),
		"REQ - 1\n":                        bad(protocol.FaultSeq),
		"REQ 1.5 x\n":                      bad(protocol.FaultSeq),
		"REQ 1x\n":                         bad(protocol.FaultSeq),
		"REQ 9223372036854775808 x\n":      bad(protocol.FaultRange),
		"REQ -9223372036854775809 x\n":     bad(protocol.FaultRange),
		"REQ 99999999999999999999999 x\n":  bad(protocol.FaultRange),
		"REQ " + long + "1\n":              bad(protocol.FaultHeader),
		"REQ 1" + long + "x\n":             good(protocol.Request, 1),
		"NAK 0" + long + "ERRDECODE\n":     stray,
		"REQ " + long[:200] + "1 x\n":      good(protocol.Request, 1),
		"REQ 00000000000000000000001 x\n":  good(protocol.Request, 1),
		"REQ 1000000000000000000 eighteen": {},
	} {
		want.Size = int64(len(line))
		want.Quirks = quirksOf(want, line)
		var wants []protocol.Message
		if want.Kind != 0 {
			wants = append(wants, want)
		}
		for _, chunk := range []int{0, 1, 2, 3, 5, 7} {
			got := decode(t, new(Decoder), []byte(line), chunk)
			if diff := cmp.Diff(wants, got); diff != "" {
				t.Errorf("%.40q in chunks of %d (-want +got):\n%s", line, chunk, diff)
			}
		}
	}
}

func TestDecoderTellsWhereItStands(t *testing.T) {
	for bytes, want := range map[string]protocol.Phase{
		"":              protocol.Between,
		"REQ 1 x\n":     protocol.Between,
		"R":             protocol.Header,
		"REQ":           protocol.Header,
		"REQ 1":         protocol.Header,
		"REQ 1 ":        protocol.Body,
		"REQ 1 x":       protocol.Body,
		"NAK 0 ERR":     protocol.Body,
		"REX":           protocol.Bad,
		"REQ x":         protocol.Bad,
		"\nREQ 1 x\nFO": protocol.Header,
	} {
		d := new(Decoder)
		decode(t, d, []byte(bytes), 0)
		if got := d.Phase(); got != want {
			t.Errorf("after %q: got phase %d, want %d", bytes, got, want)
		}
	}
	d := new(Decoder)
	decode(t, d, []byte("REQ 41 unfinished"), 0)
	if got := d.Partial(); got.Kind != protocol.Request || got.ID != 41 {
		t.Errorf("partial message: got %+v, want request 41", got)
	}
}

func TestAppendCannotBreakALine(t *testing.T) {
	got := string(Append(nil, protocol.Positive, 3, "two\nlines"))
	if want := "ACK 3 two lines\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := string(Protocol{}.AppendUndecodable(nil)), "NAK 0 ERRDECODE\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDataIsWhatFollowsTheSeq(t *testing.T) {
	for line, want := range map[string]string{
		"ACK 1 hello\n": "hello", "ACK 1 hello you\r\n": "hello you", "ACK 1\n": "", "ACK\t1 \t x\n": "x",
	} {
		if got := Data(line); got != want {
			t.Errorf("Data(%q): got %q, want %q", line, got, want)
		}
	}
}

// FuzzDecoder holds that what is decoded does not depend on where the stream
// is cut into chunks, that every byte belongs to one message, and that a
// message which is written again in plain form means the same.
func FuzzDecoder(f *testing.F) {
	for _, s := range []string{
		"REQ 1 hi\nACK 1\n", "NAK 0 ERRDECODE\nNAK 0 ERRDECODE x\n", "REQ \n\nREQ -1\r\n", "REQ 99999999999999999999 x\n",
	} {
		f.Add([]byte(s), uint8(3))
		f.Add([]byte(s+"REQ 5 \xe2\x82\xac \xe2\x82\r\n"), uint8(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, chunk uint8) {
		whole, parts := new(Decoder), new(Decoder)
		want := decode(t, whole, b, 0)
		got := decode(t, parts, b, int(chunk))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q in chunks of %d (-want +got):\n%s", b, chunk, diff)
		}
		if whole.Phase() != parts.Phase() || whole.Partial() != parts.Partial() {
			t.Fatalf("%q in chunks of %d: the unfinished message differs", b, chunk)
		}
		size := whole.Partial().Size
		read := string(b)
		for _, m := range want {
			size += m.Size
			if q := quirksOf(m, read[:m.Size]); m.Quirks != q {
				t.Fatalf("%q: got quirks %b, want %b", read[:m.Size], m.Quirks, q)
			}
			read = read[m.Size:]
			if m.Kind == protocol.Malformed || m.Stray {
				continue
			}
			again := decode(t, new(Decoder), Append(nil, m.Kind, m.ID, ""), 0)
			if len(again) != 1 || again[0].Kind != m.Kind || again[0].ID != m.ID {
				t.Fatalf("wrote %+v again, got %+v", m, again)
			}
		}
		if size != int64(len(b)) {
			t.Fatalf("%q: messages have %d bytes, the stream %d", b, size, len(b))
		}
	})
}

func BenchmarkDecoder(b *testing.B) {
	for _, size := range []int{0, 32, 1024} {
		b.Run(fmt.Sprintf("data=%d", size), func(b *testing.B) {
			const messages = 64
			var stream []byte
			for i := range messages {
				stream = Append(stream, protocol.Request, int64(1000+i), bytes.Repeat([]byte{'x'}, size))
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(stream)) / messages)
			var d protocol.Decoder = new(Decoder)
			for i := 0; i < b.N; i += messages {
				for rest := stream; len(rest) > 0; {
					n, _ := d.Next(rest)
					rest = rest[n:]
				}
			}
		})
	}
}
