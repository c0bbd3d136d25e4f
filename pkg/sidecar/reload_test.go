package sidecar

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestReloadsLoseNothing keeps thousands of requests in flight while hundreds
// of configurations follow each other, and then compares what the clients
// counted with the statistics.
func TestReloadsLoseNothing(t *testing.T) {
	const clients, outstanding, reloads = 16, 200, 200
	ups := []string{server(t, outstanding/2), server(t, outstanding/2)}
	extra := func(round int) string {
		listeners := fmt.Sprintf("  - {name: main, address: '127.0.0.1:0', upstream: up, maxConnections: %d, idleTimeout: %dm}\n", 100+round, 1+round%3)
		if round%2 == 1 {
			listeners += fmt.Sprintf("  - {name: 'extra-%d', address: '127.0.0.1:0', upstream: up}\n", round%5)
		}
		return "listeners:\n" + listeners +
			"upstreams: [{name: up, addresses: ['" + ups[round/3%2] + "']}]\n" +
			"log: {level: " + []string{"info", "debug", "error"}[round%3] + "}\n"
	}
	i := launch(t, extra(0))
	address := i.address("main")

	stop := make(chan struct{})
	var running sync.WaitGroup
	var mu sync.Mutex
	var total, late int
	talk := func(until <-chan struct{}) {
		n, err := chat(address, outstanding, until)
		if err != nil {
			t.Errorf("after %d requests: %v", n, err)
		}
		mu.Lock()
		defer mu.Unlock()
		total += n
	}
	for range clients {
		running.Go(func() { talk(stop) })
	}
	i.awaitInFlight(clients * outstanding / 2)
	for round := 1; round <= reloads; round++ {
		i.write(document(i.dir, extra(round)))
		i.reload <- struct{}{}
		i.awaitGeneration(1 + round)
		if round%20 == 0 { // newcomers meet the new configuration
			late++
			done := make(chan struct{})
			close(done)
			running.Go(func() { talk(done) })
		}
	}
	i.awaitInFlight(clients * outstanding / 2)
	close(stop)
	running.Wait()
	i.await("the end of all sessions", func(int, map[string]any) bool { return i.number("in_flight") == 0 })
	i.expect(map[string]float64{
		"msg_req": float64(total), "msg_ack": float64(total), "msg_nak": 0, "nak_local": 0,
		"unanswered": 0, "unmatched_answers": 0, "malformed": 0,
	})
	if total < clients*outstanding || late == 0 {
		t.Errorf("only %d requests were sent", total)
	}
	_, stats := i.get("/stats")
	if opened := stats["connections"].(map[string]any)["opened"]; opened != float64(clients+late) {
		t.Errorf("%v connections were opened, want %d: none was lost", opened, clients+late)
	}
}

// awaitInFlight waits until at least so many requests are in flight.
func (i *instance) awaitInFlight(n int) {
	i.t.Helper()
	i.await("requests in flight", func(int, map[string]any) bool { return i.number("in_flight") >= float64(n) })
}

// TestRemovedListenerStillAnswersWhatIsOutstanding removes a listener with
// requests in flight, whose answers come only when the client has finished.
func TestRemovedListenerStillAnswersWhatIsOutstanding(t *testing.T) {
	const requests = 50
	up := server(t, requests)
	extra := "upstreams: [{addresses: ['" + up + "']}]\ndrain: {timeout: 1m}\nlisteners:\n- {name: stays, address: '127.0.0.1:0'}\n"
	i := launch(t, extra+"- {name: goes, address: '127.0.0.1:0'}")
	conn, err := net.Dial("tcp", i.address("goes"))
	must(t, err)
	defer conn.Close()
	for seq := range requests {
		fmt.Fprintf(conn, "REQ %d x\n", seq+1)
	}
	i.awaitInFlight(requests)
	i.write(document(i.dir, extra))
	i.awaitGeneration(2)

	in := bufio.NewReader(conn)
	sent, answered := requests, 0
	answer := func() string {
		line, err := in.ReadString('\n')
		must(t, err)
		if line == fmt.Sprintf("ACK %d x\n", answered+1) {
			answered++
		}
		return line
	}
	// What is sent until the drain has reached the session brings one answer more.
	for {
		sent++
		fmt.Fprintf(conn, "REQ %d x\n", sent)
		before := answered
		if line := answer(); line == fmt.Sprintf("NAK %d sidecar draining\n", sent) {
			break
		} else if answered == before {
			t.Fatalf("got %q after %d answers and %d requests", line, answered, sent)
		}
	}
	must(t, conn.(*net.TCPConn).CloseWrite())
	for answered < sent-1 {
		before := answered
		if line := answer(); answered == before {
			t.Fatalf("got %q after %d answers", line, answered)
		}
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
	i.await("the end of the session", func(int, map[string]any) bool { return i.number("in_flight") == 0 })
	i.expect(map[string]float64{"msg_req": float64(sent), "msg_ack": float64(answered), "nak_local": 1, "unanswered": 0})
}

func TestInvalidReloadChangesNothingAndIsShown(t *testing.T) {
	i := launch(t, "listeners: [{address: '127.0.0.1:0'}]")
	before := i.address("default")
	i.write(document(i.dir, "listeners: [{address: '127.0.0.1:0', idelTimeout: 5s}]"))
	status := i.await("the refusal", func(_ int, status map[string]any) bool { return configOf(status)["last_error"] != nil })
	if message := configOf(status)["last_error"].(string); !strings.Contains(message, "idelTimeout") || !strings.Contains(message, "idleTimeout") {
		t.Errorf("the error does not name the key and what was meant: %s", message)
	}
	if code, _ := i.get("/status"); code != http.StatusOK {
		t.Errorf("not ready because of a configuration that is not in force: %d", code)
	}
	if got := i.address("default"); got != before || configOf(status)["generation"] != 1.0 {
		t.Errorf("something changed: %s, %v", got, status)
	}
	i.write(document(i.dir, "listeners: [{address: '127.0.0.1:0', idleTimeout: 5s}]"))
	i.awaitGeneration(2)
	if _, body := i.get("/config"); body["last_error"] != nil {
		t.Errorf("the error is still shown: %v", body)
	}
}

func TestReloadWithAnAddressInUseChangesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	i := launch(t, "reload: {pollInterval: 10ms}\nlisteners: [{name: a, address: '127.0.0.1:0'}]")
	before := i.address("a")
	i.write(document(i.dir, fmt.Sprintf("listeners:\n- {name: b, address: '127.0.0.1:0'}\n- {name: c, address: '%s'}", taken.Addr())))
	status := i.await("the refusal", func(_ int, status map[string]any) bool { return configOf(status)["last_error"] != nil })
	if message := configOf(status)["last_error"].(string); !strings.Contains(message, "listeners[1] c: open "+taken.Addr().String()) {
		t.Errorf("the error does not say what and where: %s", message)
	}
	if got := i.address("a"); got != before {
		t.Errorf("the listener moved to %s", got)
	}
	if listeners := status["listeners"].([]any); len(listeners) != 1 {
		t.Errorf("listeners: %v", listeners)
	}
	taken.Close() // and without another word
	i.awaitGeneration(2)
}

func TestListenersCanExchangeTheirAddresses(t *testing.T) {
	dir := socketDir(t)
	first, second := "unix:"+dir+"/1", "unix:"+dir+"/2"
	extra := func(a, b string) string {
		return fmt.Sprintf("listeners:\n- {name: a, address: '%s'}\n- {name: b, address: '%s'}\nupstreams: [{addresses: ['%s']}]", a, b, server(t, 0))
	}
	i := launch(t, extra(first, second))
	i.write(document(i.dir, extra(second, first)))
	i.awaitGeneration(2)
	if a, b := i.address("a"), i.address("b"); a != second || b != first {
		t.Fatalf("a is at %s and b at %s", a, b)
	}
	conn, err := net.Dial("unix", dir+"/1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "REQ 1\nREQ 2\n")
	i.await("the requests at b", func(int, map[string]any) bool {
		_, stats := i.get("/stats")
		b := stats["listeners"].([]any)[1].(map[string]any)
		return b["name"] == "b" && b["msg_req"] == 2.0
	})
}

// TestConfigMapSwapIsNoticed replaces the configuration as the kubelet does: the
// file is a link into ..data, which is a link to a directory that is replaced.
func TestConfigMapSwapIsNoticed(t *testing.T) {
	dir := socketDir(t)
	mount := filepath.Join(dir, "mount")
	swap := func(n int, document string) {
		version := fmt.Sprintf("..2026_%d", n)
		must(t, os.MkdirAll(filepath.Join(mount, version), 0o755))
		must(t, os.WriteFile(filepath.Join(mount, version, "sidecar.yaml"), []byte(document), 0o600))
		must(t, os.Symlink(version, filepath.Join(mount, "..data_tmp")))
		must(t, os.Rename(filepath.Join(mount, "..data_tmp"), filepath.Join(mount, "..data")))
		if n > 1 {
			must(t, os.RemoveAll(filepath.Join(mount, fmt.Sprintf("..2026_%d", n-1))))
		}
	}
	extra := "listeners: [{address: '127.0.0.1:0', maxConnections: %d}]"
	swap(1, document(dir, fmt.Sprintf(extra, 1)))
	must(t, os.Symlink("..data/sidecar.yaml", filepath.Join(mount, "sidecar.yaml")))
	i := &instance{t: t, dir: dir, file: filepath.Join(mount, "sidecar.yaml")}
	i.start()
	i.await("ready", func(code int, _ map[string]any) bool { return code == http.StatusOK })
	for n := 2; n < 6; n++ {
		swap(n, document(dir, fmt.Sprintf(extra, n)))
		i.awaitGeneration(n)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestInvalidFileAtTheStartFallsBackToTheLastGood(t *testing.T) {
	i := launch(t, "listeners: [{address: '127.0.0.1:0', maxConnections: 7}]")
	i.stop()
	i.write(document(i.dir, "listeners: [{address: '127.0.0.1:0', maxConnections: many}]"))
	again := &instance{t: t, dir: i.dir, file: i.file}
	again.start()
	status := again.await("ready", func(code int, _ map[string]any) bool { return code == http.StatusOK })
	if c := configOf(status); c["degraded"] != true || !strings.Contains(c["last_error"].(string), "maxConnections") {
		t.Errorf("got %v, want degraded, and why", c)
	}
	if log := again.log.String(); !strings.Contains(log, "starting with the last good one") || !strings.Contains(log, "maxConnections") {
		t.Errorf("the log does not say so: %s", log)
	}
	_, body := again.get("/config")
	listener := body["effective"].(map[string]any)["listeners"].([]any)[0].(map[string]any)
	if listener["maxConnections"] != 7.0 {
		t.Errorf("got %v, want the last good configuration", listener)
	}
	again.write(document(i.dir, "listeners: [{address: '127.0.0.1:0', maxConnections: 8}]"))
	again.awaitGeneration(2)
	if c := configOf(again.await("good", func(code int, _ map[string]any) bool { return code == 200 })); c["degraded"] != false {
		t.Errorf("still degraded: %v", c)
	}
	again.stop()

	must(t, os.Remove(filepath.Join(i.dir, "state", "last-good.yaml")))
	again.write(document(i.dir, "listeners: [{maxConnections: many}]"))
	last := &instance{t: t, dir: i.dir, file: i.file}
	last.start()
	if err := <-last.ended; err == nil || !strings.Contains(err.Error(), "maxConnections") {
		t.Errorf("got %v, want an error that names the key", err)
	}
	last.wait = func() error { return nil }
}

func TestReadinessWaitsForTheUpstreamOnlyIfConfigured(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, nobody.Close())
	extra := fmt.Sprintf("listeners: [{address: '127.0.0.1:0'}]\nupstreams: [{addresses: ['%s'], connectBudget: 1ms}]", nobody.Addr())
	i := launch(t, extra)
	conn, err := net.Dial("tcp", i.address("default"))
	must(t, err)
	defer conn.Close()
	status := i.await("a failed dial", func(_ int, status map[string]any) bool {
		return status["upstreams"].([]any)[0].(map[string]any)["reachable"] == false
	})
	if status["status"] != "ready" {
		t.Errorf("got %v, want ready", status)
	}
	back := nobody.Addr().String()
	required := strings.Replace(document(i.dir, extra), "admin: {", "admin: {readiness: {requireUpstream: true}, ", 1)
	i.write(required)
	i.awaitGeneration(2)
	if code, status := i.get("/status"); code != http.StatusServiceUnavailable || !strings.Contains(fmt.Sprint(status["reasons"]), "upstream") {
		t.Errorf("got %d %v, want 503 because of the upstream", code, status)
	}
	conn.Close()
	ln, err := net.Listen("tcp", back)
	must(t, err)
	defer ln.Close()
	i.await("ready again, though no client comes", func(code int, _ map[string]any) bool { return code == http.StatusOK })
	ln.Close()
	i.await("not ready, though no client comes", func(code int, _ map[string]any) bool { return code == http.StatusServiceUnavailable })
}

func TestSocketOfADeadProcessIsReplacedAndThatOfALiveOneIsNot(t *testing.T) {
	dir := socketDir(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/dead", Net: "unix"})
	must(t, err)
	dead.SetUnlinkOnClose(false)
	must(t, dead.Close())
	i := launch(t, "listeners: [{address: 'unix:"+dir+"/dead', socketMode: '0600'}]")
	info, err := os.Stat(dir + "/dead")
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the socket: got %o, want 600", info.Mode().Perm())
	}

	alive, err := net.Listen("unix", dir+"/alive")
	must(t, err)
	defer alive.Close()
	i.write(document(i.dir, "listeners: [{address: 'unix:"+dir+"/alive'}]"))
	status := i.await("the refusal", func(_ int, status map[string]any) bool { return configOf(status)["last_error"] != nil })
	if message := configOf(status)["last_error"].(string); !strings.Contains(message, "another process listens there") {
		t.Errorf("got %s", message)
	}
}
