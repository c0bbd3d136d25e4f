//go:build linux

package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProcIsRead(t *testing.T) {
	if got, err := parseSchedstat("2725975401 155701 4\n"); err != nil || got != 2725975401 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseSchedstat("\n"); err == nil {
		t.Error("nothing was taken for a time")
	}
	const status = "Name:\tfoo\nVmHWM:\t    1764 kB\nVmRSS:\t    1652 kB\nRssAnon:\t     112 kB\n"
	for name, want := range map[string]int64{"VmHWM": 1764, "VmRSS": 1652, "RssAnon": 112} {
		if got, err := field(name)(status); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"Rss", "Name"} {
		if got, err := field(name)(status); err == nil {
			t.Errorf("%s: got %d, want an error", name, got)
		}
	}
}

func TestAProcessIsMeasured(t *testing.T) {
	self := processes{os.Getpid()}
	before, err := self.cpuTime()
	if err != nil {
		t.Fatal(err)
	}
	for after := before; after == before; { // until the system has counted more
		if after, err = self.cpuTime(); err != nil {
			t.Fatal(err)
		}
	}
	m, err := self.memory()
	if err != nil || m.Private <= 0 || m.Resident < m.Private {
		t.Errorf("got %+v, %v", m, err)
	}
	if n, err := self.descriptors(); err != nil || n < 3 {
		t.Errorf("got %d open files, %v", n, err)
	}
	if n, err := self.readsAndWrites(); err != nil || n <= 0 {
		t.Errorf("got %d reads and writes, %v", n, err)
	}
	if all, err := family(os.Getpid()); err != nil || all[0] != os.Getpid() {
		t.Errorf("got %v, %v", all, err)
	}
	const none = math.MaxInt32 // more than there may be
	if _, err := (processes{none}).cpuTime(); err == nil {
		t.Error("a process that is not there was measured")
	}
}

func TestStraceIsRead(t *testing.T) {
	got, err := parseStrace(`% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000300           3       100        10 read
 40.00    0.000200           2       101           write
------ ----------- ----------- --------- --------- ----------------
100.00    0.000500           2       201        10 total
`)
	if err != nil || got != 201 {
		t.Errorf("got %d, %v, want 201", got, err)
	}
	if _, err := parseStrace(""); err == nil {
		t.Error("nothing was taken for a count")
	}
}

func TestForeignProxiesAreConfigured(t *testing.T) {
	f := forwarding{listen: "127.0.0.1:1", upstream: "127.0.0.1:2", connections: 64, oneCore: true}
	const want = `global
  maxconn 80
  nbthread 1
  tune.bufsize 65536
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen foo
  bind 127.0.0.1:1
  server foo 127.0.0.1:2
`
	if diff := cmp.Diff(want, haproxy{bufferSize: 65536}.config(f)); diff != "" {
		t.Errorf("HAProxy: -want +got:\n%s", diff)
	}
	const wantNginx = `load_module /m.so;
daemon off;
pid nginx.pid;
worker_processes 1;
events {
  worker_connections 160;
}
stream {
  server {
    listen 127.0.0.1:1 backlog=4096;
    proxy_pass 127.0.0.1:2;
    proxy_timeout 1h;
  }
}
`
	if diff := cmp.Diff(wantNginx, nginxConfig(f, "/m.so")); diff != "" {
		t.Errorf("nginx: -want +got:\n%s", diff)
	}
	f.oneCore = false
	for name, text := range map[string]string{"HAProxy": haproxy{}.config(f), "nginx": nginxConfig(f, "")} {
		for _, not := range []string{"nbthread", "tune.", "load_module", "worker_processes 1"} {
			if strings.Contains(text, not) {
				t.Errorf("%s, left alone, has %q:\n%s", name, not, text)
			}
		}
	}
}

func TestTheStreamModuleIsFound(t *testing.T) {
	for flags, want := range map[string]string{
		"--modules-path=/m --with-stream=dynamic --with-stream_ssl_module": "/m/ngx_stream_module.so",
		"--with-stream --with-threads":                                     "built in",
		"--with-stream":                                                    "built in",
		"--with-stream_ssl_module --modules-path=/m":                       "missing",
	} {
		got, ok := streamModule(flags)
		switch {
		case !ok:
			got = "missing"
		case got == "":
			got = "built in"
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", flags, got, want)
		}
	}
}

func TestRatiosAreThoseWithinARound(t *testing.T) {
	m := func(round int, subject string, cpu, rate float64) Measurement {
		return Measurement{Mode: oneCore, Workload: "W3", Subject: subject, Round: round, CPU: cpu, Rate: rate}
	}
	got := ratios([]Measurement{
		m(1, direct, 0, 400), m(1, "sidecar", 2, 100), m(1, "haproxy", 1, 200),
		m(2, "haproxy", 2, 100), m(2, "sidecar", 6, 100), m(2, direct, 0, 100),
		m(3, direct, 0, 200), m(3, "sidecar", 8, 100),
	})
	want := []Ratio{
		{Mode: oneCore, Workload: "W3", Subject: "sidecar", Base: direct, Rate: Spread{0.25, 0.5, 1}},
		{
			Mode: oneCore, Workload: "W3", Subject: "sidecar", Base: "haproxy",
			CPU: Spread{2, 2.5, 3}, Rate: Spread{0.5, 0.75, 1},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestMedianIsInTheMiddle(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.values, got, tt.want)
		}
	}
}

func TestResultsAreTables(t *testing.T) {
	peak := &Memory{Resident: 20 << 20, Private: 5 << 20}
	r := results{
		Machine: Machine{Processor: "Abacus", Processors: 2, Linux: "6.1.0", Go: "1.26.0", HAProxy: "2.6.12"},
		Rounds:  2, SliceSeconds: 0.5, LeftOut: []string{"nginx: it is\nnot installed"},
		Measurements: []Measurement{
			{Mode: unpinned, Workload: "W3", Subject: direct, Round: 1, Rate: 1234567},
			{Mode: unpinned, Workload: "W3", Subject: "sidecar", Round: 1, Rate: 600_000, CPU: 0.7, ReadsAndWrites: 0.1, Peak: peak},
			{Mode: unpinned, Workload: "W3", Subject: "sidecar", Round: 2, Rate: 700_000, CPU: 0.8, ReadsAndWrites: 0.2, Peak: peak},
			{Mode: unpinned, Workload: "W3", Subject: "haproxy", Round: 1, Rate: 999.6, CPU: 0.35, Peak: peak},
			{Mode: unpinned, Workload: "W8", Subject: "sidecar", Round: 1, Idle: &Idle{
				Connections: 5000, AtRest: *peak, Resident: 2048, Private: 1024, Descriptors: 2,
			}},
			{
				Mode: unpinned, Workload: "W9", Subject: "sidecar", Round: 1, Rate: 19_000, CPU: 20, Peak: peak, Short: true,
				Latency: &Latency{0.001, 0.0025, 0.0625}, SenderLate: 0.004,
			},
		},
		Calls: []Calls{{unpinned, "W3", "haproxy", 0.0661}},
	}
	r.Ratios = ratios(r.Measurements)
	const want = `Abacus, 2 processors, Linux 6.1.0; Go 1.26.0, HAProxy 2.6.12. 2 rounds of 0.5 s each.

Left out:

- nginx: it is not installed

### Unpinned

Ratios within a round: the median (least to greatest).

| workload | ratio             |        CPU per pair |                requests/s | p99 |
| -------- | ----------------- | ------------------: | ------------------------: | --: |
| W3       | sidecar / direct  |                   - |       0.49 (0.49 to 0.49) |   - |
| W3       | sidecar / haproxy | 2.00 (2.00 to 2.00) | 600.24 (600.24 to 600.24) |   - |

#### W3: 64 connections, pipeline 64, 32 B

| subject | requests/s | CPU us/pair | calls/pair | peak MiB | private MiB |
| ------- | ---------: | ----------: | ---------: | -------: | ----------: |
| direct  |  1,234,567 |           - |          - |        - |           - |
| sidecar |    650,000 |       0.750 |    > 0.150 |     20.0 |         5.0 |
| haproxy |      1,000 |       0.350 |      0.066 |     20.0 |         5.0 |

#### W8: memory of 5,000 connections that are idle after one request

| subject | at rest MiB | private MiB | KiB per connection | private KiB | descriptors per connection |
| ------- | ----------: | ----------: | -----------------: | ----------: | -------------------------: |
| sidecar |        20.0 |         5.0 |                2.0 |         1.0 |                       2.00 |

#### W9: open loop: 64 connections, 20,000 requests/s

| subject |     requests/s | CPU us/pair | p50 ms | p99 ms | p99.9 ms | sender late ms | peak MiB | private MiB |
| ------- | -------------: | ----------: | -----: | -----: | -------: | -------------: | -------: | ----------: |
| sidecar | 19,000 (short) |      20.000 |   1.00 |   2.50 |    62.50 |            4.0 |     20.0 |         5.0 |
`
	if diff := cmp.Diff(want, r.markdown()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestResultsReplaceThoseOfThePage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n" + beginResults + "\nold\n" + endResults + "\nafter\n")
	got, err := replaceResults(file, "new\n")
	if want := "before\n" + beginResults + "\n\nnew\n\n" + endResults + "\nafter\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	write("nothing")
	if _, err := replaceResults(file, ""); err == nil {
		t.Error("a page without a place for results was accepted")
	}
	if _, err := replaceResults(filepath.Join("..", "..", performance), ""); err != nil {
		t.Errorf("the page of this repository: %v", err)
	}
}
