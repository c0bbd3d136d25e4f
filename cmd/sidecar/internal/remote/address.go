package remote

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/foo-protocol/foo-sidecar/config"
)

// Variables are the environment variables that tell a sidecar where to serve its
// admin port; the first that is not empty counts. A command that runs beside the
// sidecar, in its container, finds them there.
func Variables() []string { return config.Variables("admin.address") }

const (
	// loopback is what stands for an address that means every one of this machine.
	loopback = "127.0.0.1"
	// socketHost names a Unix socket where HTTP wants the name of a host.
	socketHost = "sidecar"

	expected = `expected host:port such as "10.0.0.7:8088", a URL, or unix:/path`
)

// Address is where a sidecar's admin port is. Use ParseAddress.
type Address struct {
	name          string  // for people
	network, dial string  // where to connect to; empty: where the URL says
	base          url.URL // that paths are below
}

// String returns the address for people to read.
func (a Address) String() string { return a.name }

// DefaultAddress returns the address that is meant if none is given: the one of
// the sidecar's own variables, or else the sidecar's own default, on this machine.
func DefaultAddress(getenv func(string) string) (Address, error) {
	for _, name := range Variables() {
		s := getenv(name)
		if s == "" {
			continue
		}
		a, err := ParseAddress(s)
		if err != nil {
			return Address{}, fmt.Errorf("%s: %w", name, err)
		}
		return a, nil
	}
	return ParseAddress(config.Default().Admin.Address)
}

// ParseAddress reads host:port, a URL, or unix:/path. A host that is empty or
// unspecified, as sidecars are told to listen, means this machine.
func ParseAddress(s string) (Address, error) {
	a, err := parseAddress(s)
	if err != nil {
		return Address{}, fmt.Errorf("address %q: %w", s, err)
	}
	return a, nil
}

func parseAddress(s string) (Address, error) {
	if strings.Contains(s, "://") {
		return parseURL(s)
	}
	network, dial := config.SplitAddress(s)
	if network == "unix" {
		if !strings.HasPrefix(dial, "/") {
			return Address{}, errors.New("the socket's path does not begin with /, expected unix:/path")
		}
		return Address{name: s, network: network, dial: dial, base: url.URL{Scheme: "http", Host: socketHost}}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		why := "not an address"
		if broken, ok := errors.AsType[*net.AddrError](err); ok {
			why = broken.Err
		}
		return Address{}, fmt.Errorf("%s, %s", why, expected)
	}
	switch number, err := strconv.ParseUint(port, 10, 16); {
	case err != nil:
		return Address{}, fmt.Errorf("the port is not a number from 1 to 65535, %s", expected)
	case number == 0:
		return Address{}, fmt.Errorf("port 0 means any that is free, and the sidecar's log says which: %s", expected)
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.To4() != nil && ip.IsUnspecified():
		host = loopback
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	name := net.JoinHostPort(host, port)
	base, err := url.Parse("http://" + name)
	if err != nil || base.Host != name {
		return Address{}, fmt.Errorf("the host makes no sense, %s", expected)
	}
	return Address{name: name, base: *base}, nil
}

func parseURL(s string) (Address, error) {
	base, err := url.Parse(s)
	switch {
	case err != nil:
		return Address{}, fmt.Errorf("not a URL, %s", expected)
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return Address{}, errors.New("not a URL of HTTP, expected such as http://10.0.0.7:8088")
	case base.RawQuery != "" || base.Fragment != "":
		return Address{}, errors.New("a URL with a query or a fragment, expected the one that /stats is below")
	}
	return Address{name: base.Redacted(), base: *base}, nil
}
