//go:build unix

package remote

import (
	"net"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

func TestUnixSocketIsAskedLikeAPort(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", file)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(pieces(true, "{}\n"))
	server.Listener.Close()
	server.Listener = l
	server.Start()
	defer server.Close()
	if got, err := clientFor(t, "unix:"+file).Stats(t.Context()); err != nil || string(got) != "{}\n" {
		t.Errorf("got %q, %v", got, err)
	}
}
