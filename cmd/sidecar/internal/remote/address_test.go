package remote

import (
	"strings"
	"testing"
)

func TestAddressIsHostAndPortURLOrSocket(t *testing.T) {
	for _, tc := range []struct{ in, name, stats string }{
		{"10.0.0.7:8088", "10.0.0.7:8088", "http://10.0.0.7:8088/stats"},
		{"sidecar.shop.svc:80", "sidecar.shop.svc:80", "http://sidecar.shop.svc:80/stats"},
		{"[fd00::7]:8088", "[fd00::7]:8088", "http://[fd00::7]:8088/stats"},
		// How sidecars are told to listen.
		{":8088", "127.0.0.1:8088", "http://127.0.0.1:8088/stats"},
		{"0.0.0.0:8088", "127.0.0.1:8088", "http://127.0.0.1:8088/stats"},
		{"[::]:8088", "[::1]:8088", "http://[::1]:8088/stats"},
		{"http://localhost:8001/api/v1/namespaces/shop/pods/web-0:8088/proxy",
			"http://localhost:8001/api/v1/namespaces/shop/pods/web-0:8088/proxy",
			"http://localhost:8001/api/v1/namespaces/shop/pods/web-0:8088/proxy/stats"},
		{"https://ops:secret@host/", "https://ops:xxxxx@host/", "https://ops:secret@host/stats"},
		{"unix:/run/foo/admin.sock", "unix:/run/foo/admin.sock", "http://sidecar/stats"},
	} {
		a, err := ParseAddress(tc.in)
		if err != nil {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		if got := a.base.JoinPath("/stats").String(); a.String() != tc.name || got != tc.stats {
			t.Errorf("%s: got %s with %s, want %s with %s", tc.in, a, got, tc.name, tc.stats)
		}
	}
}

func TestAddressThatMakesNoSenseSaysWhatIsExpected(t *testing.T) {
	for in, want := range map[string]string{
		"":                 "missing port in address, expected host:port",
		"10.0.0.7":         "missing port in address, expected host:port",
		"10.0.0.7:http":    "the port is not a number",
		"10.0.0.7:99999":   "the port is not a number",
		":0":               "the sidecar's log says which",
		"a b:1":            "the host makes no sense",
		"user@host:1":      "the host makes no sense",
		"host/path:1":      "the host makes no sense",
		"unix:run.sock":    "expected unix:/path",
		"ftp://host":       "not a URL of HTTP",
		"http://":          "not a URL of HTTP",
		"http://host/?a=b": "a URL with a query",
		"http://[::1":      "not a URL",
	} {
		if _, err := ParseAddress(in); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "address ") {
			t.Errorf("%q: got %v, want it to say %q", in, err, want)
		}
	}
}

func TestDefaultAddressIsTheSidecarsOwn(t *testing.T) {
	const long, short = "FOO_SIDECAR_ADMIN_ADDRESS", "FOO_SIDECAR_HTTP"
	for _, tc := range []struct {
		variables map[string]string
		want      string
	}{
		{nil, "127.0.0.1:8088"},
		{map[string]string{short: "0.0.0.0:9000"}, "127.0.0.1:9000"},
		{map[string]string{short: "unix:/run/admin.sock"}, "unix:/run/admin.sock"},
		{map[string]string{long: ":9001"}, "127.0.0.1:9001"},
		{map[string]string{long: "[::]:9001"}, "[::1]:9001"},
		// The sidecar reads both, and this one first.
		{map[string]string{long: "10.0.0.7:9001", short: ":9000"}, "10.0.0.7:9001"},
	} {
		a, err := DefaultAddress(func(name string) string { return tc.variables[name] })
		if err != nil || a.String() != tc.want {
			t.Errorf("%v: got %s, %v; want %s", tc.variables, a, err, tc.want)
		}
	}
	for _, name := range []string{long, short} {
		_, err := DefaultAddress(func(asked string) string { return map[string]string{name: "nonsense"}[asked] })
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("got %v, want an error that names %s", err, name)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{":8088", "[::]:1", "unix:/a", "http://a/b", "a:b", "%:1", "[%eth0]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if again, err := ParseAddress(a.String()); a.base.User == nil && (err != nil || again.String() != a.String()) {
			t.Errorf("%q: is called %s, which is %v, %v", s, a, again, err)
		}
		if a.base.Host == "" {
			t.Errorf("%q: has no host", s)
		}
	})
}
