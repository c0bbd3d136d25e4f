package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// unixPrefix begins the address of a Unix socket.
const unixPrefix = "unix:"

// maxUnixPath is the longest path that fits into a Unix socket's address on
// Linux, which ends it with a zero byte.
const maxUnixPath = 107

// SplitAddress splits an address of a configuration into the network and the
// address that [net.Listen] and [net.Dial] want.
func SplitAddress(address string) (network, rest string) {
	if file, ok := strings.CutPrefix(address, unixPrefix); ok {
		return "unix", file
	}
	return "tcp", address
}

// endpoint is an address in a form that can be compared. It has either a path
// or a host and a port.
type endpoint struct {
	path string
	host string // an IP address in its usual form or a name; empty: all interfaces, or this machine
	port uint16
}

// hostName is a DNS name, or what is used like one. Its last label has a
// letter, lest a misspelt IP address pass for a name.
var hostName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*` +
	`[0-9_-]*[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.?$`)

func isHostName(host string) bool { return len(host) <= 253 && hostName.MatchString(host) }

// parseAddress checks an address. The error says what is wrong with it.
func parseAddress(address string) (endpoint, error) {
	if file, ok := strings.CutPrefix(address, unixPrefix); ok {
		switch {
		case !strings.HasPrefix(file, "/"):
			return endpoint{}, errors.New("the socket's path does not begin with /, expected unix:/path")
		case len(file) > maxUnixPath:
			return endpoint{}, fmt.Errorf("the socket's path has %d bytes, expected at most %d", len(file), maxUnixPath)
		case !printable(file):
			return endpoint{}, errors.New("the socket's path has characters that cannot be printed")
		}
		return endpoint{path: path.Clean(file)}, nil
	}
	const expected = `expected host:port such as ":8002" or "[::1]:8002", or unix:/path`
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		why := "not an address"
		if broken, ok := errors.AsType[*net.AddrError](err); ok {
			why = broken.Err
		}
		return endpoint{}, fmt.Errorf("%s, %s", why, expected)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return endpoint{}, fmt.Errorf("the port is not a number from 0 to 65535, %s", expected)
	}
	e := endpoint{port: uint16(number)}
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && ip.IsUnspecified(), host == "":
	case err == nil:
		e.host = ip.Unmap().String()
	case !isHostName(host):
		return endpoint{}, fmt.Errorf("the host is neither an IP address nor a DNS name, %s", expected)
	default:
		e.host = strings.ToLower(strings.TrimSuffix(host, "."))
		if e.host == "localhost" {
			e.host = "127.0.0.1"
		}
	}
	return e, nil
}

// clashes reports whether two listeners cannot have these addresses together.
func (e endpoint) clashes(other endpoint) bool {
	if e.path != "" || other.path != "" {
		return e.path == other.path
	}
	// Port 0 stands for another port each time.
	return e.port != 0 && e.port == other.port &&
		(e.host == "" || other.host == "" || e.host == other.host)
}

// reaches reports whether whoever connects to e surely meets the one that
// listens on l.
func (e endpoint) reaches(l endpoint) bool {
	here := endpoint{path: e.path, host: cmp.Or(e.host, "127.0.0.1"), port: e.port}
	if ip, err := netip.ParseAddr(here.host); e.path == "" && (err != nil || !ip.IsLoopback()) {
		return false // perhaps another machine
	}
	return here.clashes(l)
}
