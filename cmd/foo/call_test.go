package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/server"
	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

func TestCallPrintsAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, stdin string
		args        []string
		server      server.Options
		want        outcome
	}{
		{
			name: "each argument is a request",
			args: []string{"hello", "two words", ""},
			want: outcome{stdout: "ACK 1 hello\nACK 2 two words\nACK 3\n"},
		},
		{
			name:  "each line of standard input is a request",
			stdin: "one\r\n\ntwo words\nunfinished",
			want:  outcome{stdout: "ACK 1 one\nACK 2\nACK 3 two words\nACK 4 unfinished\n"},
		},
		{name: "nothing to ask"},
		{
			name:   "a NAK",
			args:   []string{"hello"},
			server: server.Options{NAK: 1},
			want:   outcome{code: codeNAK, stdout: "NAK 1 hello\n"},
		},
		{
			name: "JSON",
			args: []string{"-json", `say "hi"`},
			want: outcome{stdout: `{"type":"ACK","seq":1,"data":"say \"hi\""}` + "\n"},
		},
		{
			name:   "JSON of a NAK",
			args:   []string{"-json", "x"},
			server: server.Options{NAK: 1},
			want:   outcome{code: codeNAK, stdout: `{"type":"NAK","seq":1,"data":"x"}` + "\n"},
		},
		{
			name: "what looks like a flag",
			args: []string{"--", "-connect"},
			want: outcome{stdout: "ACK 1 -connect\n"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := serve(t, tt.server)
			got := execute(t.Context(), tt.stdin, append([]string{"call", "-connect", address}, tt.args...)...)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestCallPrintsAnswersInOrderOfArrival(t *testing.T) {
	var first string
	address := script(t, func(line string) string {
		seq := strings.Fields(line)[1]
		if seq == "1" {
			first = "NAK 1 late\n"
			return ""
		}
		return "ACK " + seq + " early\n" + first
	})
	got := execute(t.Context(), "", "call", "-connect", address, "a", "b")
	want := outcome{code: codeNAK, stdout: "ACK 2 early\nNAK 1 late\n"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCallWorksOverAUnixSocket(t *testing.T) {
	address := "unix:" + filepath.Join(t.TempDir(), "foo.sock")
	l, err := wire.Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.New(server.Options{}).Serve(ctx, l) }()
	if got := execute(t.Context(), "", "call", "-connect", address, "x"); got.stdout != "ACK 1 x\n" {
		t.Errorf("got %+v", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCallSaysThatNobodyIsThere(t *testing.T) {
	nobody := reserved(t)
	got := execute(t.Context(), "", "call", "-connect", nobody, "a")
	want := "foo: connect to " + nobody + ": dial tcp " + nobody
	if got.code != cli.CodeFailure || !strings.HasPrefix(got.stderr, want) {
		t.Errorf("got %+v, want code %d and %q", got, cli.CodeFailure, want)
	}
}

func TestCallShowsWhatAnswersNothing(t *testing.T) {
	address := script(t, func(line string) string {
		if strings.HasPrefix(line, "REQ 2") {
			return "ACK 2 b\nREQ 7\nNAK 0 ERRDECODE\nACK 1\n"
		}
		return ""
	})
	got := execute(t.Context(), "", "call", "-connect", address, "a", "b")
	want := outcome{
		stdout: "ACK 2 b\nNAK 0 ERRDECODE\nACK 1\n",
		stderr: "foo: received a line that is no answer\nfoo: the answer to 0 answers no request\n",
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// talk runs a caller, whose time-out is a second, against a peer that takes
// 900 ms for each answer. It is for use where time is virtual.
func talk(t *testing.T, answer func(line string) string, requests iter.Seq2[string, error]) (
	answers int, took time.Duration, err error,
) {
	t.Helper()
	ours, theirs := net.Pipe()
	var peer sync.WaitGroup
	defer peer.Wait()
	peer.Go(func() {
		defer func() { _ = theirs.Close() }()
		lines := bufio.NewReader(theirs)
		for line, err := lines.ReadString('\n'); err == nil; line, err = lines.ReadString('\n') {
			time.Sleep(900 * time.Millisecond) // virtual
			_, _ = io.WriteString(theirs, answer(line))
		}
	})
	c := caller{
		timeout: time.Second,
		print:   func(wire.Message) error { answers++; return nil },
		warn:    func(text string) { t.Error(text) },
	}
	began := time.Now()
	err = c.talk(t.Context(), ours, requests)
	return answers, time.Since(began), err
}

func granted(line string) string { return strings.Replace(line, "REQ", "ACK", 1) }

func TestCallDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers, took, err := talk(t, func(line string) string {
			if line < "REQ 3" {
				return granted(line)
			}
			return ""
		}, requests([]string{"a", "b", "c", "d", "e"}, nil))
		const want = "no answer within 1s, 3 of 5 requests unanswered"
		if answers != 2 || err == nil || err.Error() != want {
			t.Errorf("got %d answers, %v, want 2, %s", answers, err, want)
		}
		// The peer read the fourth request, and so the fifth was sent, after 2.7 s.
		if took != 3700*time.Millisecond {
			t.Errorf("took %v, want a second after the last request", took)
		}
	})
}

// Standard input that pauses for longer than an answer may take is no time-out.
func TestCallWaitsForStandardInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers, _, err := talk(t, granted, func(yield func(string, error) bool) {
			for range 3 {
				yield("x", nil)
				time.Sleep(time.Hour) // virtual
			}
		})
		if err != nil || answers != 3 {
			t.Errorf("got %v, %d answers, want 3", err, answers)
		}
	})
}

func TestCallNoticesThatTheServerHasGone(t *testing.T) {
	l := listen(t)
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = io.ReadFull(conn, make([]byte, len("REQ 1 a\nREQ 2 b\n")))
			_, _ = io.WriteString(conn, "ACK 1 a\n")
			_ = conn.Close()
		}
	}()
	got := execute(t.Context(), "", "call", "-connect", wire.Address(l), "a", "b")
	want := outcome{
		code: cli.CodeFailure, stdout: "ACK 1 a\n",
		stderr: "foo: the server closed the connection, 1 of 2 requests unanswered\n",
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestInterruptedCallEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	address := script(t, func(string) string {
		cancel()
		return ""
	})
	got := execute(ctx, "", "call", "-connect", address, "-timeout", "0", "a")
	want := outcome{code: cli.CodeFailure, stderr: "foo: interrupted, 1 of 1 requests unanswered\n"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// More requests than the buffers of a connection hold, to a server that wants
// its answers read before it reads on.
func TestCallReadsWhileItSends(t *testing.T) {
	const n = 3000
	address := serve(t, server.Options{})
	got := execute(t.Context(), strings.Repeat(strings.Repeat("x", 4000)+"\n", n), "call", "-connect", address)
	if got.code != cli.CodeOK || strings.Count(got.stdout, "\n") != n {
		t.Errorf("got code %d, %d answers, %q; want %d answers", got.code, strings.Count(got.stdout, "\n"), got.stderr, n)
	}
}

func TestUnreadableStandardInputIsAFailure(t *testing.T) {
	root := newRoot()
	root.SetIn(iotest.ErrReader(errors.New("broken")))
	var stdout, stderr bytes.Buffer
	code := cli.Execute(t.Context(), root, []string{"call", "-connect", serve(t, server.Options{})}, &stdout, &stderr)
	if want := "foo: read requests: broken, 0 of 0 requests unanswered\n"; code != cli.CodeFailure || stderr.String() != want {
		t.Errorf("got code %d, %q, want %d, %q", code, &stderr, cli.CodeFailure, want)
	}
}
