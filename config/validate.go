package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// Shortest times that are accepted, so that a slip of the unit does not keep a
// processor or a disk busy.
const (
	minConnect = Duration(time.Millisecond)
	minRepeat  = Duration(10 * time.Millisecond)
)

// validate reports what the values of a complete document have wrong with
// each other and with the world. Their form has been checked.
func (f *findings) validate(c Config) {
	var upstreams []string
	for i, u := range c.Upstreams {
		path := fmt.Sprintf("upstreams[%d]", i)
		f.validateUpstream(path, u)
		upstreams = append(upstreams, u.Name)
	}
	f.validateNames("upstreams", upstreams)

	var listeners []string
	for i, l := range c.Listeners {
		path := fmt.Sprintf("listeners[%d]", i)
		f.validateListener(path, l, upstreams)
		listeners = append(listeners, l.Name)
	}
	f.validateNames("listeners", listeners)
	f.validateAddresses(c)
	f.validateTelemetry(c.Telemetry)

	f.atLeast("checkpoint.interval", c.Checkpoint.Interval, minRepeat)
	if file := c.Checkpoint.Path; f.intact("checkpoint.path") {
		if !printable(file) {
			f.report("checkpoint.path", "%.300q has characters that cannot be printed, expected a file's path", file)
		} else if filepath.Base(file) == lastGoodName {
			f.report("checkpoint.path", "%.300q is where the last good configuration is kept, expected another name", file)
		}
	}
	f.atLeast("reload.pollInterval", c.Reload.PollInterval, minRepeat)
}

func (f *findings) validateUpstream(path string, u Upstream) {
	if len(u.Addresses) == 0 && f.intact(path+".addresses") {
		f.report(path+".addresses", "missing, expected at least one address")
	}
	f.atLeast(path+".connectTimeout", u.ConnectTimeout, minConnect)
	f.atLeast(path+".connectBudget", u.ConnectBudget, minConnect)
	f.atLeast(path+".backoff.initial", u.Backoff.Initial, minConnect)
	if f.intact(path + ".backoff.initial") {
		f.atLeast(path+".backoff.max", u.Backoff.Max, u.Backoff.Initial)
	}
}

func (f *findings) validateListener(path string, l Listener, upstreams []string) {
	if l.MaxConnections < 0 && f.intact(path+".maxConnections") {
		f.report(path+".maxConnections", "got %d, expected at least 0", l.MaxConnections)
	}
	at := path + ".upstream"
	if !f.intact(at) {
		return
	}
	known := make([]string, 0, len(upstreams))
	for i, name := range upstreams {
		if name == "" || !f.intact(fmt.Sprintf("upstreams[%d].name", i)) {
			return // what it refers to may be the one whose name is unknown
		}
		known = append(known, fmt.Sprintf("%.100q", name))
		if name == l.Upstream {
			return
		}
	}
	expected := strings.Join(known, ", ")
	if l.Upstream == "" {
		f.report(at, "missing, expected the name of one of the upstreams: %s", expected)
		return
	}
	f.report(at, "no upstream is called %.100q, expected one of %s", l.Upstream, expected)
}

// nameRegexp is what a name looks like: what Kubernetes allows as a label's
// value, for it becomes one in metrics.
var nameRegexp = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// validateNames checks the names of the elements of a list.
func (f *findings) validateNames(list string, names []string) {
	first := make(map[string]int)
	for i, name := range names {
		at := fmt.Sprintf("%s[%d].name", list, i)
		if !f.intact(at) {
			continue
		}
		earlier, taken := first[name]
		switch {
		case name == "":
			f.report(at, "missing, expected a name for each of several %s", list)
		case !nameRegexp.MatchString(name):
			f.report(at, "got %.100q, expected at most 63 letters, digits and inner dots, dashes or underscores", name)
		case taken:
			f.report(at, "%q is already the name of %s[%d], expected another", name, list, earlier)
		default:
			first[name] = i
		}
	}
}

// bound is an address on which the sidecar listens.
type bound struct {
	path, address string
	upstream      string // of a listener
	endpoint      endpoint
}

// validateAddresses checks all addresses, by themselves and against each other.
func (f *findings) validateAddresses(c Config) {
	var taken []bound
	for i, l := range c.Listeners {
		b := bound{path: fmt.Sprintf("listeners[%d].address", i), address: l.Address, upstream: l.Upstream}
		taken = f.bind(taken, b)
	}
	taken = f.bind(taken, bound{path: "admin.address", address: c.Admin.Address})

	for i, u := range c.Upstreams {
		for j, address := range u.Addresses {
			f.validateTarget(fmt.Sprintf("upstreams[%d].addresses[%d]", i, j), address, u.Name, taken)
		}
	}
}

// bind adds b to the addresses that are taken, or reports why that cannot be.
func (f *findings) bind(taken []bound, b bound) []bound {
	var ok bool
	if b.endpoint, ok = f.endpoint(b.path, b.address); !ok {
		return taken
	}
	for _, other := range taken {
		if b.endpoint.clashes(other.endpoint) {
			f.reportBetween(b.path, other.path, "%q clashes with %q of %s, expected an address of its own", b.address, other.address, other.path)
			return taken
		}
	}
	return append(taken, b)
}

// validateTarget checks an address of an upstream.
func (f *findings) validateTarget(path, address, upstream string, taken []bound) {
	e, ok := f.endpoint(path, address)
	if !ok {
		return
	}
	if e.path == "" && e.port == 0 {
		f.report(path, "%q has port 0, expected the port of a server", address)
		return
	}
	for _, b := range taken {
		if b.upstream == upstream && e.reaches(b.endpoint) {
			f.reportBetween(path, b.path, "%q is %s itself, so its requests would go round in a circle, expected another server", address, b.path)
			return
		}
	}
}

// endpoint returns the endpoint of an address, or reports what is wrong with it.
func (f *findings) endpoint(path, address string) (endpoint, bool) {
	if !f.intact(path) {
		return endpoint{}, false
	}
	if address == "" {
		f.report(path, "no address, expected host:port or unix:/path")
		return endpoint{}, false
	}
	e, err := parseAddress(address)
	if err != nil {
		f.report(path, "%.300q: %v", address, err)
		return endpoint{}, false
	}
	return e, true
}

func (f *findings) atLeast(path string, got, least Duration) {
	if got < least && f.intact(path) {
		f.report(path, "got %s, expected at least %s", got, least)
	}
}

// printable reports whether text can be shown, logged and written to a YAML
// document as it is.
func printable(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 &&
		!strings.ContainsRune(text, unicode.ReplacementChar)
}
