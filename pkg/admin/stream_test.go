package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// opened is a stream that is being read.
type opened struct {
	*bufio.Reader
	code  int
	kind  string
	leave func()
}

// open begins to read a stream. It is left when the test ends, if not before.
func (s *running) open(t *testing.T, path string) *opened {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	leave := func() { _ = resp.Body.Close() }
	t.Cleanup(leave)
	return &opened{bufio.NewReader(resp.Body), resp.StatusCode, resp.Header.Get("Content-Type"), leave}
}

// event reads one server-sent event.
func event(t *testing.T, r *opened) (name, data string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("read an event: %v", err)
		}
		switch field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); field {
		case "event":
			name = value
		case "data":
			data += value
		case "":
			return name, data
		}
	}
}

func TestEventsBeginWithTheHistoryAndGoOnEachSecond(t *testing.T) {
	var n atomic.Int64
	o := fullOptions()
	o.Events = func(first bool) ([]byte, error) {
		return fmt.Appendf(nil, "{\"first\":%v,\n\"n\":%d}\n", first, n.Add(1)), nil
	}
	s := serve(t, o)
	r := s.open(t, "/events")
	if r.code != http.StatusOK || r.kind != "text/event-stream" {
		t.Errorf("got %d %q", r.code, r.kind)
	}
	for _, want := range []string{`{"first":true,"n":1}`, `{"first":false,"n":2}`, `{"first":false,"n":3}`} {
		if name, data := event(t, r); name != "update" || data != want {
			t.Errorf("got %q %q, want %q", name, data, want)
		}
	}
}

// An answer may take WriteTimeout and a request ReadTimeout, but not a stream.
func TestStreamsOutliveTheTimeouts(t *testing.T) {
	o := fullOptions()
	o.ReadHeaderTimeout, o.ReadTimeout, o.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond, 200*time.Millisecond
	s := serve(t, o)
	r := s.open(t, "/events")
	for range 3 {
		event(t, r)
	}
}

// stalled is a response whose client reads nothing after the headers.
type stalled struct {
	*httptest.ResponseRecorder
	begun   chan struct{}
	release chan struct{}
	once    sync.Once
}

func (s *stalled) Write([]byte) (int, error) {
	s.once.Do(func() { close(s.begun) })
	<-s.release
	return 0, net.ErrClosed
}

func newStalled() *stalled {
	return &stalled{ResponseRecorder: httptest.NewRecorder(), begun: make(chan struct{}), release: make(chan struct{})}
}

func TestManyViewersCostOneDocumentASecondAndNoneNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int64
		b := broadcast{
			document: func(bool) ([]byte, error) { return fmt.Appendf(nil, "%d", made.Add(1)), nil },
			failed:   func(err error) { t.Error(err) },
		}
		viewers := make([]*viewer, 0, maxViewers)
		for range maxViewers {
			v, err := b.join()
			if err != nil {
				t.Fatal(err)
			}
			viewers = append(viewers, v)
		}
		if _, err := b.join(); !errors.Is(err, errTooManyViewers) {
			t.Errorf("one viewer more: got %v, want %v", err, errTooManyViewers)
		}
		for tick := range 10 {
			for _, v := range viewers {
				if got, want := string(<-v.events), fmt.Sprintf("event: update\ndata: %d\n\n", tick+1); got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
		}
		for _, v := range viewers {
			b.leave(v)
		}
		before := made.Load()
		time.Sleep(time.Minute) // virtual
		if after := made.Load(); before != 10 || after != before {
			t.Errorf("%d documents were made for ten events, and then %d more for nobody", before, after-before)
		}
		v, err := b.join() // and it begins again
		if err != nil {
			t.Fatal(err)
		}
		<-v.events
		<-v.events
		b.leave(v)
	})
}

func TestSlowViewerIsDroppedAndOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(Options{Events: func(bool) ([]byte, error) { return []byte("x"), nil }})
		slow := newStalled()
		var group sync.WaitGroup
		group.Go(func() { h.ServeHTTP(slow, httptest.NewRequest(http.MethodGet, "/events", http.NoBody)) })
		<-slow.begun
		quick, err := h.broadcast.join()
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if _, ok := <-quick.events; !ok {
				t.Fatal("the quick viewer was dropped")
			}
		}
		h.broadcast.mu.Lock()
		left := len(h.broadcast.viewers)
		h.broadcast.mu.Unlock()
		if left != 1 {
			t.Errorf("%d viewers are left, want the quick one", left)
		}
		close(slow.release)
		group.Wait()
		h.broadcast.leave(quick)
	})
}

func TestSourceThatFailsIsAnEventAndOneLogLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failures, calls int
		b := broadcast{
			document: func(bool) ([]byte, error) {
				calls++
				switch calls {
				case 1, 2:
					return nil, errors.New("not finite")
				case 4:
					panic("index out of range")
				}
				return []byte("{}"), nil
			},
			failed: func(error) { failures++ },
		}
		v, err := b.join()
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"problem", "problem", "update", "problem", "update"} {
			if got := string(<-v.events); !strings.HasPrefix(got, "event: "+want+"\n") {
				t.Errorf("event %d: got %q, want %s", i, got, want)
			}
		}
		b.leave(v)
		if failures != 2 {
			t.Errorf("told of %d failures, want one each time that it ceases to work", failures)
		}
	})
}

func TestViewersBeyondTheLimitAreToldWhy(t *testing.T) {
	s := serve(t, fullOptions())
	for range maxViewers {
		r := s.open(t, "/events")
		event(t, r)
	}
	r := s.do(t, "GET", "/events")
	doc := wantJSON(t, r, 503)
	if text, _ := doc["error"].(string); !strings.Contains(text, "too many status pages are open: 32") || r.header.Get("Retry-After") == "" {
		t.Errorf("got %v, Retry-After %q", doc, r.header.Get("Retry-After"))
	}
	if r := s.do(t, "HEAD", "/events"); r.code != 200 {
		t.Errorf("HEAD: got %d, want 200 at once", r.code)
	}
}

func TestEndOfTheServerEndsStreamsAtOnce(t *testing.T) {
	o := fullOptions()
	o.ShutdownTimeout = time.Hour // streams must not need it
	tapped := make(chan context.Context, 1)
	o.Tap = func(ctx context.Context, _ TapQuery) (<-chan []byte, error) {
		tapped <- ctx
		return nil, nil
	}
	s := serve(t, o)
	events := s.open(t, "/events")
	tap := s.open(t, "/tap")
	event(t, events)
	if err := s.stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	for _, r := range []*opened{events, tap} {
		if rest, err := io.ReadAll(r); err != nil {
			t.Errorf("got %q, %v; want a proper end", rest, err)
		}
	}
	<-(<-tapped).Done()
}
