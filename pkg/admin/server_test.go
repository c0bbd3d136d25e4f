package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// send opens a connection and sends a part of a request, or all of it.
func (s *running) send(t *testing.T, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	// A test that hangs is worse than one that fails.
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPanicInASourceIsAnAnswerOf500AndALogLine(t *testing.T) {
	log := new(logLines)
	o := fullOptions()
	o.Log = log.logger()
	o.Status = func() Status { panic("index out of range") }
	s := serve(t, o)
	wantJSON(t, s.do(t, "GET", "/status"), 500)
	if !log.contains("index out of range") || !log.contains("handler.go") {
		t.Errorf("want the panic and its stack in the log, got %q", log.lines)
	}
	wantJSON(t, s.do(t, "GET", "/health"), 200)
}

func TestAStormOfPanicsDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logLines)
		o := fullOptions()
		o.Log = log.logger()
		o.Status = func() Status { panic("index out of range") }
		h := newHandler(o)
		ask := func(times int) {
			for range times {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/status", http.NoBody))
			}
		}
		ask(100)
		if n := len(log.lines); n != bugLines {
			t.Errorf("got %d lines for 100 panics, want %d", n, bugLines)
		}
		time.Sleep(time.Minute) // virtual
		ask(1)
		if n := len(log.lines); n != bugLines+1 || !log.contains(`"suppressed"=95`) {
			t.Errorf("got %q, want one line more, and that 95 were suppressed", log.lines)
		}
	})
}

func TestPanicInTheMiddleOfAnAnswerBreaksTheConnection(t *testing.T) {
	log := new(logLines)
	o := fullOptions()
	o.Log = log.logger()
	o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "up")
		panic("half way")
	})
	s := serve(t, o)
	c := s.send(t, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
		_, err = io.ReadAll(resp.Body)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want an answer that is cut off", err)
	}
	if !log.contains("half way") {
		t.Errorf("the panic is not in the log: %q", log.lines)
	}
	wantJSON(t, s.do(t, "GET", "/health"), 200)
}

func TestClientThatNeverEndsItsHeadersIsDisconnected(t *testing.T) {
	o := fullOptions()
	o.ReadHeaderTimeout = 50 * time.Millisecond
	s := serve(t, o)
	c := s.send(t, "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	if answer, err := io.ReadAll(c); err != nil || strings.Contains(string(answer), "200") {
		t.Errorf("got %q, %v; want the end of the connection", answer, err)
	}
}

func TestIdleConnectionIsClosed(t *testing.T) {
	o := fullOptions()
	o.IdleTimeout = 50 * time.Millisecond
	s := serve(t, o)
	c := s.send(t, "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n")
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(answer), statsLine) {
		t.Errorf("got %q, %v; want the answer and then the end", answer, err)
	}
}

func TestOversizeHeadersAreRefused(t *testing.T) {
	s := serve(t, fullOptions())
	if r := s.do(t, "GET", "/health", "X-Large", strings.Repeat("x", 12<<10)); r.code != 200 {
		t.Errorf("headers of 12 KiB: got %d, want 200", r.code)
	}
	if r := s.do(t, "GET", "/health", "X-Large", strings.Repeat("x", 32<<10)); r.code != 431 {
		t.Errorf("headers of 32 KiB: got %d, want 431", r.code)
	}
}

func TestLargeBodyIsRefusedUnread(t *testing.T) {
	s := serve(t, fullOptions())
	c := s.send(t, "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 413 ") || !strings.Contains(string(answer), "Connection: close") {
		t.Errorf("got %q, %v; want 413 and the end of the connection", answer, err)
	}
	small := s.send(t, "GET /stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
	if answer, err := io.ReadAll(small); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		t.Errorf("a small body: got %q, %v; want 200", answer, err)
	}
}

// A profile takes longer than any other answer may, and longer than a client
// may take to send its request.
func TestProfileMayTakeLongerThanTheTimeouts(t *testing.T) {
	o := fullOptions()
	o.ReadHeaderTimeout, o.ReadTimeout, o.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond, 500*time.Millisecond
	s := serve(t, o)
	for _, path := range []string{"/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=0.8", "/debug/pprof/heap?seconds=1"} {
		start := time.Now()
		r := s.do(t, "GET", path)
		if took := time.Since(start); r.code != 200 || len(r.body) < 100 || took < 700*time.Millisecond {
			t.Errorf("%s: got %d with %d bytes after %v, want a whole profile", path, r.code, len(r.body), took)
		}
	}
}

// blocking is a metrics handler that says when it has begun and answers when
// it is let go, or when its client is cut off.
type blocking struct{ begun, release chan struct{} }

func newBlocking() *blocking { return &blocking{make(chan struct{}), make(chan struct{})} }

func (b *blocking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	close(b.begun)
	select {
	case <-b.release:
		_, _ = io.WriteString(w, "done\n")
	case <-r.Context().Done():
	}
}

func TestEndLetsARequestInProgressFinish(t *testing.T) {
	b := newBlocking()
	o := fullOptions()
	o.Metrics, o.ShutdownTimeout = b, 10*time.Second
	s := serve(t, o)
	c := s.send(t, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	<-b.begun
	stopped := make(chan error)
	go func() { stopped <- s.stop() }()
	for { // until nobody is accepted any more
		probe, err := net.Dial("tcp", s.addr)
		if err != nil {
			break
		}
		_ = probe.Close()
	}
	close(b.release)
	if answer, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(answer), "done\n") {
		t.Errorf("got %q, %v; want the whole answer", answer, err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestEndCutsARequestThatTakesTooLong(t *testing.T) {
	b := newBlocking()
	o := fullOptions()
	o.Metrics, o.ShutdownTimeout = b, 20*time.Millisecond
	s := serve(t, o)
	c := s.send(t, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	<-b.begun
	if err := s.stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if answer, _ := io.ReadAll(c); len(answer) != 0 {
		t.Errorf("got %q, want no answer", answer)
	}
}

func TestServeThatIsEndedBeforeItBeginsClosesItsListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewServer(Options{}).Serve(ctx, ln); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: got %v, want a closed listener", err)
	}
}

func TestListenerThatFailsIsAnError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	err = NewServer(Options{}).Serve(t.Context(), ln)
	if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("got %v, want an error that names the address", err)
	}
}
