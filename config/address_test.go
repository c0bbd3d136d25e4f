package config

import "testing"

func TestSplitAddressIsWhatPackageNetWants(t *testing.T) {
	for address, want := range map[string][2]string{
		":8002":              {"tcp", ":8002"},
		"[::1]:8002":         {"tcp", "[::1]:8002"},
		"unix:/run/foo.sock": {"unix", "/run/foo.sock"},
	} {
		if network, rest := SplitAddress(address); network != want[0] || rest != want[1] {
			t.Errorf("%s: got %s %s, want %s %s", address, network, rest, want[0], want[1])
		}
	}
}

func TestAddressesThatAreAccepted(t *testing.T) {
	for _, address := range []string{
		":0", ":65535", "0.0.0.0:1", "[::]:1", "[fe80::1%eth0]:1", "localhost:1",
		"foo.prod.svc.cluster.local.:1", "my_host:1", "1host:1", "3com.example:1", "unix:/run/a b.sock",
	} {
		if _, err := parseAddress(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAddressesThatClash(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{":1", ":1", true},
		{":1", ":2", false},
		{":0", ":0", false},
		{":1", "0.0.0.0:1", true},
		{":1", "[::]:1", true},
		{":1", "10.0.0.1:1", true},
		{"10.0.0.1:1", "10.0.0.2:1", false},
		{"127.0.0.1:1", "[::1]:1", false},
		{"127.0.0.1:1", "localhost:1", true},
		{"Host.:1", "host:1", true},
		{"127.0.0.1:1", "127.0.0.1:01", true},
		{"unix:/a", "unix:/a", true},
		{"unix:/a", "unix:/x/../a", true},
		{"unix:/a", "unix:/b", false},
		{"unix:/a", ":1", false},
	} {
		a, errA := parseAddress(tt.a)
		b, errB := parseAddress(tt.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a.clashes(b) != tt.want || b.clashes(a) != tt.want {
			t.Errorf("%s and %s: got %t and %t, want %t", tt.a, tt.b, a.clashes(b), b.clashes(a), tt.want)
		}
	}
}

func TestAddressesThatReachAListener(t *testing.T) {
	for _, tt := range []struct {
		target, listener string
		want             bool
	}{
		{":1", ":1", true},
		{":1", "127.0.0.1:1", true},
		{"127.0.0.1:1", ":1", true},
		{"[::1]:1", ":1", true},
		{":1", "10.0.0.1:1", false},
		{"10.0.0.1:1", ":1", false}, // whose address that is cannot be known
		{"host:1", ":1", false},
		{":2", ":1", false},
		{"unix:/a", "unix:/a", true},
		{"unix:/a", "unix:/b", false},
	} {
		target, errT := parseAddress(tt.target)
		listener, errL := parseAddress(tt.listener)
		if errT != nil || errL != nil {
			t.Fatal(errT, errL)
		}
		if got := target.reaches(listener); got != tt.want {
			t.Errorf("%s to %s: got %t, want %t", tt.target, tt.listener, got, tt.want)
		}
	}
}
