package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

func TestTopOnceShowsAllAndFailsIfOneIsNotReached(t *testing.T) {
	good := adminServer(t, map[string]string{"/events": recordedEvent(t)})
	bad := adminServer(t, nil)
	got := execute("top", "--once", good)
	if got.code != cli.CodeOK || got.stderr != "" || !strings.Contains(got.stdout, good+"  ready        298       78.9") {
		t.Errorf("got %+v", got)
	}
	got = execute("top", "--once", good, bad)
	if got.code != cli.CodeFailure || got.stderr != "" || !strings.Contains(got.stdout, good+"  ready ") ||
		!strings.Contains(got.stdout, bad+"  there is no /events; the sidecar is older") || strings.Contains(got.stdout, "\x1b") {
		t.Errorf("got %+v", got)
	}
}

func TestTopJSONIsOneLineEachInterval(t *testing.T) {
	address := adminServer(t, map[string]string{"/events": recordedEvent(t)})
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan int)
	go func() {
		ended <- cli.Execute(ctx, newRoot(), []string{"top", "--json", "--interval", "100ms", address}, in, io.Discard)
		in.Close()
	}()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for range 3 {
		if !lines.Scan() {
			t.Fatal("there is no third line")
		}
		var doc struct {
			Sidecars []struct {
				Address string
				Stats   struct {
					Requests int64 `json:"msg_req"`
				}
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		if len(doc.Sidecars) != 1 || doc.Sidecars[0].Address != address || doc.Sidecars[0].Stats.Requests != 1189 {
			t.Errorf("got %+v", doc)
		}
	}
	cancel()
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if code := <-ended; code != cli.CodeOK {
		t.Errorf("called off: got exit code %d, want %d", code, cli.CodeOK)
	}
}
