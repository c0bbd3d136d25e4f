package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// unixPrefix begins the address of a Unix socket.
const unixPrefix = "unix:"

// split returns network and address as package net wants them.
func split(address string) (network, addr string) {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		return "unix", path
	}
	return "tcp", address
}

// CheckAddress reports what is wrong with an address: it has to be host:port,
// where an empty host is this machine, or unix:/path.
func CheckAddress(address string) error {
	network, addr := split(address)
	if network == "unix" {
		if addr == "" {
			return fmt.Errorf("address %q has no path behind %s", address, unixPrefix)
		}
		return nil
	}
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		return fmt.Errorf("address %q is neither host:port nor unix:/path", address)
	}
	return nil
}

// Dial connects to an address.
func Dial(ctx context.Context, address string) (net.Conn, error) {
	network, addr := split(address)
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// Listen listens on an address. The file of a Unix socket on which nobody
// listens any more, which a killed process leaves behind, is replaced.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	network, addr := split(address)
	var config net.ListenConfig
	l, err := config.Listen(ctx, network, addr)
	if err == nil || network != "unix" {
		return l, err
	}
	conn, dialErr := Dial(ctx, address)
	if dialErr == nil {
		_ = conn.Close()
		return nil, err // somebody is there
	}
	if !errors.Is(dialErr, syscall.ECONNREFUSED) {
		return nil, err
	}
	if err := os.Remove(addr); err != nil {
		return nil, fmt.Errorf("replace the abandoned socket %s: %w", addr, err)
	}
	return config.Listen(ctx, network, addr)
}

// Address returns a listener's address as Dial takes it.
func Address(l net.Listener) string {
	if l.Addr().Network() == "unix" {
		return unixPrefix + l.Addr().String()
	}
	return l.Addr().String()
}
