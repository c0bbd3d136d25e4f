package wire

import (
	"net"
	"path/filepath"
	"testing"
)

func TestAddressIsHostAndPortOrUnixPath(t *testing.T) {
	for address, good := range map[string]bool{
		":8001": true, "localhost:8002": true, "[::1]:http": true, "unix:/run/foo.sock": true, "unix:foo": true,
		"": false, "localhost": false, "localhost:": false, "unix:": false, "::1": false,
	} {
		if err := CheckAddress(address); (err == nil) != good {
			t.Errorf("%q: got %v, want valid: %v", address, err, good)
		}
	}
}

func TestListenerCanBeDialedAtItsAddress(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "s")} {
		l, err := Listen(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := Dial(t.Context(), Address(l))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Close(), l.Close()
	}
}

func TestAbandonedUnixSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	address := "unix:" + filepath.Join(t.TempDir(), "s")
	first, err := Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := Listen(t.Context(), address); err == nil {
		_ = l.Close()
		t.Error("took the socket of a listener that is there")
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(t.Context(), address)
	if err != nil {
		t.Fatalf("abandoned socket: %v", err)
	}
	_ = second.Close()
}
