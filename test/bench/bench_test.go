//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// The command itself, for as short as it can be.
func TestTheCommandMeasures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{
		"--workloads", "W3,W9", "--subjects", "direct,sidecar,iocopy", "--rounds", "1", "--slice", "100ms",
		"--spread=false", "--strace=false", "--json", file,
	}, &stdout, &stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got results
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if got.Rounds != 1 || got.SliceSeconds != 0.1 || got.Machine.Processors < 1 || got.Machine.Go == "" || len(got.LeftOut) > 0 {
		t.Errorf("got %+v", got)
	}
	seen := map[string]bool{}
	for _, m := range got.Measurements {
		seen[m.Workload+" "+m.Subject] = true
		proxied := m.Subject != direct
		if m.Mode != oneCore || m.Round != 1 || m.Pairs <= 0 || m.Rate <= 0 || (m.CPU > 0) != proxied || (m.Peak != nil) != proxied ||
			(m.Latency != nil) != (m.Workload == "W9") {
			t.Errorf("got %+v", m)
		}
	}
	if len(seen) != 6 || len(got.Measurements) != 6 || len(got.Ratios) != 4 {
		t.Errorf("got %v, %d measurements and %d ratios, want those of 2 workloads and 3 subjects",
			seen, len(got.Measurements), len(got.Ratios))
	}
	for _, part := range []string{"### One core\n", "#### W3: ", "#### W9: ", "| sidecar / iocopy "} {
		if !strings.Contains(stdout.String(), part) {
			t.Errorf("there is no %q in\n%s", part, &stdout)
		}
	}
}

func TestCommandLinesThatMakeNoSenseAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"--workloads W99":              `there is no workload "W99"`,
		"--subjects sidecar,squid":     `there is no subject "squid"`,
		"--rounds 0":                   "--rounds is 0",
		"--slice 1ms":                  "--slice is 1ms",
		"--core -2":                    "--core is -2",
		"--one-core=false --spread=no": "invalid boolean value",
		"--one-core=0 --spread=0":      "nothing to measure",
		"more":                         `unexpected argument "more"`,
	} {
		var stderr bytes.Buffer
		if err := run(t.Context(), strings.Fields(args), nil, &stderr); !errors.Is(err, errUsage) || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: got %v and %q, want %q", args, err, &stderr, want)
		}
	}
}

func TestHelpNamesWorkloadsAndSubjects(t *testing.T) {
	var stderr bytes.Buffer
	if _, err := parse([]string{"--help"}, &stderr); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
	for _, part := range []string{
		"W6 ", "W10-10000 ", "haproxy-64k ", "in W3, W4, W5", "apt-get install nginx-light libnginx-mod-stream", "-rounds number",
	} {
		if !strings.Contains(stderr.String(), part) {
			t.Errorf("there is no %q in\n%s", part, &stderr)
		}
	}
}

func TestANameStandsForItsVariantsToo(t *testing.T) {
	o, err := parse([]string{"--workloads", "W10,W1", "--subjects", "haproxy"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range o.workloads {
		names = append(names, w.name)
	}
	if want := []string{"W1", "W10-100", "W10-1000", "W10-5000", "W10-10000"}; cmp.Diff(want, names) != "" {
		t.Errorf("got %v, want %v", names, want)
	}
	if len(o.subjects) != 1 || o.subjects[0].name != "haproxy" {
		t.Errorf("got %d subjects, want the one that was named", len(o.subjects))
	}
}

func TestWorkloadsTellTheLoadWhatToDo(t *testing.T) {
	const shape = "--connections 64 --pipeline 64 --size 32 --connect-timeout 30s --duration 1s"
	for name, want := range map[string]string{
		"W3": shape,
		"W7": "--connections 16 --pipeline 1 --size 32 --connect-timeout 30s --requests-per-connection 1 --duration 1s --requests 20000",
		"W9": strings.Replace(shape, "64 --size", "1024 --size", 1) + " --rate 20000 --grace 1s",
	} {
		chosen, err := choose("workload", workloads, func(w workload) string { return w.name }, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(chosen[0].load(time.Second), " "); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestOneCoreLeavesTheOthersToTheProgram(t *testing.T) {
	var all unix.CPUSet
	for _, cpu := range []int{0, 2, 5} {
		all.Set(cpu)
	}
	for core, want := range map[int]int{lastCore: 5, 2: 2} {
		p, err := onOneCore(all, core)
		if err != nil || p.measured.Count() != 1 || !p.measured.IsSet(want) || p.own.Count() != 2 || p.own.IsSet(want) {
			t.Errorf("core %d: got %v, %v, want processor %d", core, p, err, want)
		}
	}
	if _, err := onOneCore(all, 1); err == nil {
		t.Error("a processor that may not be used was taken")
	}
	var one unix.CPUSet
	one.Set(3)
	if p, err := onOneCore(one, lastCore); err != nil || p.own != one || p.measured != one {
		t.Errorf("of one processor: got %v, %v", p, err)
	}
}
