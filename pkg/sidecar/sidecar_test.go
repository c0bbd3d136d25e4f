package sidecar

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/foo-protocol/foo-sidecar/config"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noEnv keeps the environment of whoever runs the tests out of them.
func noEnv(string) (string, bool) { return "", false }

// instance is a sidecar under test.
type instance struct {
	t      *testing.T
	dir    string
	file   string // the configuration
	reload chan struct{}
	report chan struct{}
	stdout lines
	log    *lockedBuffer
	client *http.Client
	drain  context.CancelFunc
	ended  chan error
	wait   func() error
}

// lines is a writer that passes on each write.
type lines chan []byte

func (l lines) Write(p []byte) (int, error) {
	l <- bytes.Clone(p)
	return len(p), nil
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// document returns a configuration whose files are all in dir. Extra replaces
// the listeners and upstreams and may go on with other keys.
func document(dir, extra string) string {
	return fmt.Sprintf("apiVersion: foo-protocol.io/v1alpha1\nkind: SidecarConfig\nadmin: {address: 'unix:%s/admin'}\n"+
		"checkpoint: {path: '%s/state/recovery.json', interval: 10ms}\n%s\n", dir, dir, extra)
}

// launch starts a sidecar with a configuration and waits until it is ready.
func launch(t *testing.T, extra string) *instance {
	t.Helper()
	dir := socketDir(t)
	i := &instance{t: t, dir: dir, file: filepath.Join(dir, "sidecar.yaml")}
	i.write(document(dir, extra))
	i.start()
	i.await("ready", func(code int, _ map[string]any) bool { return code == http.StatusOK })
	return i
}

// socketDir is a directory with a path that is short enough for Unix sockets.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sidecar") //nolint:usetesting // Its names are too long.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (i *instance) start() {
	i.t.Helper()
	i.reload, i.report = make(chan struct{}), make(chan struct{})
	i.stdout, i.log = make(lines, 100), new(lockedBuffer)
	i.ended = make(chan error, 1)
	log, err := telemetry.NewLogger(telemetry.LogOptions{Writer: i.log})
	if err != nil {
		i.t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(i.dir, "admin"))
	}}
	i.client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	i.drain = cancel
	go func() {
		i.ended <- Run(ctx, Options{
			Config: config.Options{File: i.file, Env: noEnv}, Version: "test",
			Log: log, Stdout: i.stdout, Report: i.report, Reload: i.reload,
		})
	}()
	i.wait = sync.OnceValue(func() error { return <-i.ended })
	i.t.Cleanup(func() {
		i.stop()
		transport.CloseIdleConnections()
	})
}

// stop drains the sidecar and waits for its end.
func (i *instance) stop() {
	i.t.Helper()
	i.drain()
	if err := i.wait(); err != nil {
		i.t.Errorf("the sidecar ended with: %v", err)
	}
}

func (i *instance) write(document string) {
	i.t.Helper()
	if err := os.WriteFile(i.file+".new", []byte(document), 0o600); err != nil {
		i.t.Fatal(err)
	}
	if err := os.Rename(i.file+".new", i.file); err != nil {
		i.t.Fatal(err)
	}
}

// get fetches a path of the admin server.
func (i *instance) get(path string) (int, map[string]any) {
	response, err := i.client.Get("http://sidecar" + path)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	var body map[string]any
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		i.t.Fatalf("%s: %v", path, err)
	}
	return response.StatusCode, body
}

// await asks /status until it is as expected.
func (i *instance) await(what string, ok func(code int, status map[string]any) bool) map[string]any {
	i.t.Helper()
	limit := time.Now().Add(30 * time.Second)
	for {
		code, status := i.get("/status")
		if ok(code, status) {
			return status
		}
		select {
		case err := <-i.ended:
			i.t.Fatalf("the sidecar ended while waiting for %s: %v\n%s", what, err, i.log)
		default:
		}
		if time.Now().After(limit) {
			i.t.Fatalf("waited in vain for %s: %d %v\n%s", what, code, status, i.log)
		}
		runtime.Gosched()
	}
}

func configOf(status map[string]any) map[string]any {
	c, _ := status["config"].(map[string]any)
	return c
}

// awaitGeneration waits until that many configurations have been in force.
func (i *instance) awaitGeneration(n int) {
	i.t.Helper()
	i.await(fmt.Sprintf("generation %d", n), func(_ int, status map[string]any) bool {
		return configOf(status)["generation"] == float64(n)
	})
}

// address returns where a listener really is.
func (i *instance) address(name string) string {
	i.t.Helper()
	_, status := i.get("/status")
	listeners, _ := status["listeners"].([]any)
	for _, l := range listeners {
		if l := l.(map[string]any); l["name"] == name {
			return l["address"].(string)
		}
	}
	i.t.Fatalf("there is no listener %s: %v", name, status)
	return ""
}

// number returns a number of /stats.
func (i *instance) number(name string) float64 {
	i.t.Helper()
	_, stats := i.get("/stats")
	n, ok := stats[name].(float64)
	if !ok {
		i.t.Fatalf("/stats has no number %s: %v", name, stats)
	}
	return n
}

func (i *instance) expect(want map[string]float64) {
	i.t.Helper()
	for name, n := range want {
		if got := i.number(name); got != n {
			i.t.Errorf("%s: got %v, want %v", name, got, n)
		}
	}
}

// server is an upstream that answers each REQ with an ACK, but keeps back the
// last few of each connection until more come or the client has ended.
func server(t *testing.T, lag int) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				answer(conn, lag)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		ln.Close()
		running.Wait()
	})
	return ln.Addr().String()
}

func answer(conn net.Conn, lag int) {
	defer conn.Close()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	var waiting [][]byte
	for {
		line, err := in.ReadBytes('\n')
		if err == nil {
			waiting = append(waiting, append([]byte("ACK"), line[3:]...))
		}
		for len(waiting) > lag || err != nil && len(waiting) > 0 {
			out.Write(waiting[0])
			waiting = waiting[1:]
		}
		if err != nil || in.Buffered() == 0 {
			if out.Flush() != nil || err != nil {
				return
			}
		}
	}
}

// chat sends requests over one connection until told to stop, always with as
// many outstanding, and checks every answer. It returns how many there were.
func chat(address string, outstanding int, stop <-chan struct{}) (requests int, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	answered := 0
	next := func() error {
		line, err := in.ReadString('\n')
		answered++
		if want := fmt.Sprintf("ACK %d x\n", answered); err == nil && line != want {
			return fmt.Errorf("got %q, want %q", line, want)
		}
		return err
	}
	for {
		select {
		case <-stop:
			if err := errors.Join(out.Flush(), conn.(*net.TCPConn).CloseWrite()); err != nil {
				return requests, err
			}
			for answered < requests {
				if err := next(); err != nil {
					return requests, err
				}
			}
			if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
				return requests, fmt.Errorf("no end after the last answer: %w", err)
			}
			return requests, nil
		default:
		}
		requests++
		fmt.Fprintf(out, "REQ %d x\n", requests)
		if requests-answered > outstanding {
			if err := out.Flush(); err != nil {
				return requests, err
			}
			if err := next(); err != nil {
				return requests, err
			}
		}
	}
}

func TestStatisticsAreOneLineForEachRequest(t *testing.T) {
	i := launch(t, "listeners: [{address: '127.0.0.1:0'}]")
	for range 10 {
		i.report <- struct{}{}
	}
	for range 10 {
		line := string(<-i.stdout)
		if !strings.HasPrefix(line, `{"msg_total":0,"msg_req":0,`) || strings.Index(line, "\n") != len(line)-1 {
			t.Errorf("got %q", line)
		}
	}
}

func TestTotalsAndWindowsSurviveARestart(t *testing.T) {
	up := server(t, 0)
	extra := "listeners: [{address: '127.0.0.1:0'}]\nupstreams: [{addresses: ['" + up + "']}]"
	i := launch(t, extra)
	conn, err := net.Dial("tcp", i.address("default"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "REQ 1\nREQ 2\nREQ 3\n")
	in := bufio.NewReader(conn)
	for range 3 {
		if _, err := in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	i.stop()

	again := &instance{t: t, dir: i.dir, file: i.file}
	again.start()
	again.await("ready", func(code int, _ map[string]any) bool { return code == http.StatusOK })
	again.expect(map[string]float64{"msg_total": 6, "msg_req": 3, "msg_ack": 3, "in_flight": 0})
	if _, stats := again.get("/stats"); stats["recovered"] == nil {
		t.Errorf("the statistics don't say that they were recovered: %v", stats)
	}
	if rate := again.number("request_rate_10s"); rate != 0.3 {
		t.Errorf("rate over 10 s: got %v, want 0.3", rate)
	}
}

func TestDamagedCheckpointStopsTheStartOnlyIfConfigured(t *testing.T) {
	for policy, fatal := range map[string]bool{"continue": false, "fail": true} {
		t.Run(policy, func(t *testing.T) {
			dir := socketDir(t)
			if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "state", "recovery.json")
			if err := os.WriteFile(path, []byte("{\"format\":"), 0o600); err != nil {
				t.Fatal(err)
			}
			i := &instance{t: t, dir: dir, file: filepath.Join(dir, "sidecar.yaml")}
			i.write(strings.Replace(document(dir, "listeners: [{address: '127.0.0.1:0'}]"), "interval:", "onDamaged: "+policy+", interval:", 1))
			i.start()
			if fatal {
				err := <-i.ended
				if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "onDamaged") {
					t.Errorf("got %v, want an error that names %s and onDamaged", err, path)
				}
				i.wait = func() error { return nil }
				return
			}
			i.await("ready", func(code int, _ map[string]any) bool { return code == http.StatusOK })
			i.await("a checkpoint", func(_ int, status map[string]any) bool {
				kept, err := filepath.Glob(path + ".damaged-*")
				return err == nil && len(kept) == 1 && status["checkpoint"].(map[string]any)["working"] == true
			})
		})
	}
}
