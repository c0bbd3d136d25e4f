//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is what the figures depend on besides the programs.
type Machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Linux      string `json:"linux"`
	Go         string `json:"go"`
	// HAProxy and Nginx are versions, "" where there is none.
	HAProxy string `json:"haproxy,omitempty"`
	Nginx   string `json:"nginx,omitempty"`
}

var versionNumber = regexp.MustCompile(`\d+\.\d+\.\d+`)

// describe returns what this machine is.
func describe(ctx context.Context) Machine {
	m := Machine{Processor: runtime.GOARCH, Processors: runtime.NumCPU(), Go: strings.TrimPrefix(runtime.Version(), "go")}
	if all, err := allowed(); err == nil {
		m.Processors = all.Count()
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if model := regexp.MustCompile(`(?m)^model name\s*: (.+)$`).FindSubmatch(text); model != nil {
			m.Processor = string(model[1])
		}
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		m.Linux = versionNumber.FindString(unix.ByteSliceToString(name.Release[:]))
	}
	version := func(program, flag string) string {
		path := find(program)
		if path == "" {
			return ""
		}
		out, err := exec.CommandContext(ctx, path, flag).CombinedOutput()
		if err != nil {
			return ""
		}
		return versionNumber.FindString(string(out))
	}
	m.HAProxy, m.Nginx = version("haproxy", "-v"), version("nginx", "-v")
	return m
}
