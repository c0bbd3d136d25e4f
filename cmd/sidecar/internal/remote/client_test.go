package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers requests with h and returns a client for it.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return clientFor(t, server.URL)
}

func clientFor(t *testing.T, address string) *Client {
	t.Helper()
	a, err := ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	c := New(a)
	t.Cleanup(c.Close)
	return c
}

// pieces is a stream that sends some pieces and then stays silent, or ends.
func pieces(ends bool, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, p := range pieces {
			fmt.Fprint(w, p)
			_ = http.NewResponseController(w).Flush()
		}
		if !ends {
			<-r.Context().Done()
		}
	}
}

func TestStatsAreAsTheyCame(t *testing.T) {
	const line = `{"msg_total":7,"x":"ä <&>"}` + "\n"
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stats" {
			t.Errorf("%s was asked for", r.URL)
		}
		fmt.Fprint(w, line)
	})
	got, err := c.Stats(t.Context())
	if err != nil || string(got) != line {
		t.Errorf("got %q, %v; want %q", got, err, line)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	answer := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/login")
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}
	}
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"path that does not exist", answer(404, `{"error": "there is no \"/stats\""}`), `there is no "/stats"; the sidecar is older than this command`},
		{"problem", answer(503, `{"error": "too many"}`), "too many"},
		{"not a sidecar's error", answer(502, "<html>bad gateway"), "not a sidecar's; is this its admin port? (status 502 Bad Gateway)"},
		{"login page", answer(302, ""), "not a sidecar's; is this its admin port? (status 302 Found)"},
		{"not a sidecar", answer(200, "<html>welcome"), "not a sidecar's; is this its admin port?"},
		{"answer that breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "{}")
		}, "unexpected EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := serve(t, tc.answer)
			_, err := c.Stats(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want it to say %q", err, tc.want)
			}
			if prefix := fmt.Sprintf("ask %s for /stats: ", c.address); err != nil && !strings.HasPrefix(err.Error(), prefix) {
				t.Errorf("got %v, want it to begin with %q", err, prefix)
			}
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there now
	_, err = clientFor(t, l.Addr().String()).Stats(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), "; is the sidecar running, and is this its admin port?") || strings.Count(err.Error(), l.Addr().String()) != 1 {
		t.Errorf("got %v, want the address once, and what to do", err)
	}
}

func TestTapAsksForWhatIsWanted(t *testing.T) {
	queries := make(chan string, 1)
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) { queries <- r.URL.Query().Encode() })
	for _, tc := range []struct {
		filter Filter
		want   string
	}{
		{Filter{}, ""},
		{Filter{Outcomes: []string{"nak", "nak_local"}, Slower: 50 * time.Millisecond, Match: "a&b=c", Rate: 7},
			"match=a%26b%3Dc&outcome=nak%2Cnak_local&rate=7&slower=50ms"},
	} {
		lines, err := c.Tap(t.Context(), tc.filter)
		_, _ = collect(t, lines, err)
		if got := <-queries; got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

// collect returns what a stream yields until it fails.
func collect(t *testing.T, lines Lines, err error) (got []string, failure error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for line, err := range lines {
		if err != nil {
			return got, err
		}
		got = append(got, string(line))
	}
	return got, nil
}

func TestTapTellsHeartbeatsAndPairs(t *testing.T) {
	c := serve(t, pieces(true, "\n", `{"a":`, "1}\n\n", "{\"omitted\":2}\n"))
	lines, err := c.Tap(t.Context(), Filter{})
	got, failure := collect(t, lines, err)
	if diff := cmp.Diff([]string{"", `{"a":1}`, "", `{"omitted":2}`}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !errors.Is(failure, errEnded) {
		t.Errorf("at the end: got %v, want %v", failure, errEnded)
	}
}

func TestTapRefusesWhatIsNoJSON(t *testing.T) {
	c := serve(t, pieces(true, "<html>\n"))
	lines, err := c.Tap(t.Context(), Filter{})
	if got, failure := collect(t, lines, err); !errors.Is(failure, errNotSidecar) || got != nil {
		t.Errorf("got %q, %v; want %v", got, failure, errNotSidecar)
	}
}

func TestEventsAreReadAsServersSendThem(t *testing.T) {
	c := serve(t, pieces(true, "event: update\ndata: {\"a\":\ndata: 1}\n", "\n", ": a remark\n\nretry: 5\ndata:2\n\n"))
	lines, err := c.Events(t.Context())
	got, failure := collect(t, lines, err)
	if diff := cmp.Diff([]string{"{\"a\":\n1}\n", "2\n"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !errors.Is(failure, errEnded) {
		t.Errorf("at the end: got %v, want %v", failure, errEnded)
	}
}

func TestProblemOfASidecarIsAnError(t *testing.T) {
	c := serve(t, pieces(false, "event: problem\ndata: see its log\n\n"))
	lines, err := c.Events(t.Context())
	if _, failure := collect(t, lines, err); failure == nil || !strings.HasSuffix(failure.Error(), "for /events: see its log") {
		t.Errorf("got %v", failure)
	}
}

func TestSilentStreamHasFailed(t *testing.T) {
	c := serve(t, pieces(false, "{}\n"))
	c.silence = 3 * time.Second
	lines, err := c.Tap(t.Context(), Filter{})
	got, failure := collect(t, lines, err)
	if !slices.Equal(got, []string{"{}"}) || failure == nil || !strings.Contains(failure.Error(), "nothing came for 3s") {
		t.Errorf("got %q, %v", got, failure)
	}
}

func TestErrorWithoutAnEndIsAnError(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		pieces(false, `{"error": "none"}`)(w, r)
	})
	c.silence = 3 * time.Second
	if _, err := c.Tap(t.Context(), Filter{}); err == nil || !strings.Contains(err.Error(), "none; the sidecar is older") {
		t.Errorf("got %v", err)
	}
}

func TestStreamThatIsCalledOffIsNoFailure(t *testing.T) {
	c := serve(t, pieces(false, "{}\n"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lines, err := c.Tap(ctx, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for line, err := range lines {
		if err != nil {
			t.Errorf("got %q, %v; want no error", line, err)
		}
		cancel()
	}
}

func TestStreamMayBeLeft(t *testing.T) {
	left := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		pieces(false, "{}\n")(w, r)
		close(left)
	})
	lines, err := c.Tap(t.Context(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range lines {
		if err != nil {
			t.Error(err)
		}
		break
	}
	<-left
}

func FuzzEvents(f *testing.F) {
	f.Add("event: update\ndata: {}\n\n")
	f.Add("data\n:\n\nevent:problem\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		var e event
		for line := range strings.SplitSeq(stream, "\n") {
			complete, err := e.add([]byte(line))
			if err != nil {
				return
			}
			if complete && len(e.data) == 0 {
				t.Fatalf("%q: an event without data is complete", stream)
			}
		}
	})
}
