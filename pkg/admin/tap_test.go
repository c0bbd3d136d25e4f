package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTapQueryIsRead(t *testing.T) {
	got, err := parseTap("outcome=nak,nak_local,nak&slower=50ms&match=%5Ea.c&rate=7")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"nak", "nak_local"}, got.Outcomes); d != "" || got.Slower != 50*time.Millisecond || got.Rate != 7 || got.Match.String() != "^a.c" {
		t.Errorf("got %+v", got)
	}
	if got, err := parseTap(""); err != nil || got.Rate != defaultTapRate || got.Outcomes != nil || got.Match != nil || got.Slower != 0 {
		t.Errorf("nothing: got %+v, %v", got, err)
	}
}

func TestTapQueryThatIsWrongIsToldWhatIsAllowed(t *testing.T) {
	s := serve(t, fullOptions())
	for query, want := range map[string][]string{
		"outcome=nack":                       {`"nack" is no outcome`, "ack, nak, nak_local, unanswered"},
		"outcome=":                           {`"" is no outcome`},
		"outcome=ack&outcome=nak":            {"outcome is given 2 times"},
		"slower=50":                          {"slower: ", "missing unit", "50ms"},
		"slower=-1s":                         {"-1s is negative"},
		"match=(":                            {"match: ", "missing closing )", "RE2"},
		"match=" + strings.Repeat("a", 1001): {"1001 bytes", "at most 1000"},
		"rate=0":                             {`got "0"`, "1 to 1000"},
		"rate=many":                          {`got "many"`},
		"colour=red":                         {`there is no parameter "colour"`, "outcome, slower, match, rate"},
		"a;b":                                {"the query can't be read"},
		"outcome=ack&x%00%3Cscript%3E=1&rate=100": {`\x00<script>`},
	} {
		doc := wantJSON(t, s.do(t, "GET", "/tap?"+query), 400)
		text, _ := doc["error"].(string)
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: got %q, want %q in it", query, text, part)
			}
		}
	}
}

func TestTapSendsEachLineAtOnce(t *testing.T) {
	lines := make(chan []byte)
	gone := make(chan struct{})
	o := fullOptions()
	o.Tap = func(ctx context.Context, q TapQuery) (<-chan []byte, error) {
		if q.Rate != 5 {
			t.Errorf("got %+v", q)
		}
		context.AfterFunc(ctx, func() { close(gone) })
		return lines, nil
	}
	s := serve(t, o)
	r := s.open(t, "/tap?rate=5")
	if r.code != http.StatusOK || r.kind != "application/x-ndjson" {
		t.Errorf("got %d %q", r.code, r.kind)
	}
	for _, want := range []string{"{\"seq\":1}\n", "{\"seq\":2}\n"} {
		lines <- []byte(want)
		if got, err := r.ReadString('\n'); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	r.leave()
	<-gone // the source is told that the watcher has left
}

func TestTapEndsWithItsSource(t *testing.T) {
	lines := make(chan []byte)
	close(lines)
	o := fullOptions()
	o.Tap = func(context.Context, TapQuery) (<-chan []byte, error) { return lines, nil }
	if r := serve(t, o).do(t, "GET", "/tap"); r.code != 200 || r.body != "" {
		t.Errorf("got %d %q, want an empty stream", r.code, r.body)
	}
}

func TestTapTurnsWatchersAway(t *testing.T) {
	for _, test := range []struct {
		err  error
		code int
	}{
		{ErrTooMany, 503},
		{errors.New("match: payloads are not shown"), 400},
	} {
		o := fullOptions()
		o.Tap = func(context.Context, TapQuery) (<-chan []byte, error) { return nil, test.err }
		doc := wantJSON(t, serve(t, o).do(t, "GET", "/tap"), test.code)
		if doc["error"] != test.err.Error() {
			t.Errorf("got %v, want %v", doc, test.err)
		}
	}
}

func TestSilentTapSendsABlankLineNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute-time.Second)
		defer cancel()
		h := newHandler(fullOptions())
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodGet, "/tap", http.NoBody))
		if got := answer.Body.String(); got != "\n\n\n" || !answer.Flushed {
			t.Errorf("got %q, want three blank lines in a minute", got)
		}
	})
}

func FuzzTapQuery(f *testing.F) {
	f.Add("outcome=nak,ack&slower=5ms&match=a%2Bb&rate=10")
	f.Add("outcome=&rate=-1&%zz;")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseTap(raw)
		if err != nil {
			return
		}
		values, _ := url.ParseQuery(raw)
		if q.Rate < 1 || q.Rate > maxTapRate || q.Slower < 0 || len(q.Outcomes) > len(TapOutcomes) || (q.Match != nil) != values.Has("match") {
			t.Errorf("%q is read as %+v", raw, q)
		}
	})
}
