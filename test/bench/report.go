//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// leftOut is the heading of what could not be measured.
const leftOut = "Left out"

// markdown returns the results as tables that read well on a terminal, too.
func (r results) markdown() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%s, %d processors, Linux %s; Go %s", m.Processor, m.Processors, m.Linux, m.Go)
	for _, other := range []struct{ name, version string }{{"HAProxy", m.HAProxy}, {"nginx", m.Nginx}} {
		if other.version != "" {
			fmt.Fprintf(&b, ", %s %s", other.name, other.version)
		}
	}
	fmt.Fprintf(&b, ". %s of %g s each.\n", counted(r.Rounds, "round"), r.SliceSeconds)
	if len(r.LeftOut) > 0 {
		fmt.Fprintf(&b, "\n%s:\n\n", leftOut)
		for _, note := range r.LeftOut {
			fmt.Fprintf(&b, "- %s\n", strings.Join(strings.Fields(note), " "))
		}
	}
	for _, mode := range []string{oneCore, unpinned} {
		var sections strings.Builder
		for _, w := range workloads {
			sections.WriteString(r.section(mode, w))
		}
		if sections.Len() > 0 {
			fmt.Fprintf(&b, "\n### %s\n%s%s", strings.ToUpper(mode[:1])+mode[1:], r.ratioTable(mode), sections.String())
		}
	}
	return b.String()
}

// section returns what a workload brought in one mode.
func (r results) section(mode string, w workload) string {
	var rows [][]string
	for _, s := range subjects {
		var of []Measurement
		for _, m := range r.Measurements {
			if m.Mode == mode && m.Workload == w.name && m.Subject == s.name {
				of = append(of, m)
			}
		}
		if len(of) > 0 {
			rows = append(rows, r.row(w, of))
		}
	}
	if len(rows) == 0 {
		return ""
	}
	return fmt.Sprintf("\n#### %s: %s\n\n%s", w.name, w.about, table(headings(w), rows))
}

// headings returns the names of a workload's columns.
func headings(w workload) []string {
	switch {
	case w.idle:
		return []string{
			"subject", "at rest MiB", "private MiB", "KiB per connection", "private KiB", "descriptors per connection",
		}
	case w.rate > 0:
		return []string{
			"subject", "requests/s", "CPU us/pair", "p50 ms", "p99 ms", "p99.9 ms", "sender late ms",
			"peak MiB", "private MiB",
		}
	}
	return []string{"subject", "requests/s", "CPU us/pair", "calls/pair", "peak MiB", "private MiB"}
}

// row returns the medians of a subject's measurements, as headings names them.
func (r results) row(w workload, of []Measurement) []string {
	middle := func(value func(Measurement) float64) float64 {
		var values []float64
		for _, m := range of {
			values = append(values, value(m))
		}
		return median(values)
	}
	cell := func(scale float64, digits int, value func(Measurement) float64) string {
		return decimal(middle(value)/scale, digits)
	}
	const mebibyte = 1 << 20
	name := of[0].Subject
	if w.idle {
		return []string{
			name,
			cell(mebibyte, 1, func(m Measurement) float64 { return float64(m.Idle.AtRest.Resident) }),
			cell(mebibyte, 1, func(m Measurement) float64 { return float64(m.Idle.AtRest.Private) }),
			cell(kibibyte, 1, func(m Measurement) float64 { return m.Idle.Resident }),
			cell(kibibyte, 1, func(m Measurement) float64 { return m.Idle.Private }),
			cell(1, 2, func(m Measurement) float64 { return m.Idle.Descriptors }),
		}
	}
	row := []string{
		name, grouped(middle(func(m Measurement) float64 { return m.Rate })),
		cell(1, 3, func(m Measurement) float64 { return m.CPU }),
	}
	if w.rate > 0 {
		if slices.ContainsFunc(of, func(m Measurement) bool { return m.Short }) {
			row[1] += " (short)"
		}
		const millisecond = 1e-3
		row = append(row,
			cell(millisecond, 2, func(m Measurement) float64 { return m.Latency.P50 }),
			cell(millisecond, 2, func(m Measurement) float64 { return m.Latency.P99 }),
			cell(millisecond, 2, func(m Measurement) float64 { return m.Latency.P999 }),
			cell(millisecond, 1, func(m Measurement) float64 { return m.SenderLate }),
		)
	} else {
		row = append(row, r.calls(of[0], middle(func(m Measurement) float64 { return m.ReadsAndWrites })))
	}
	if of[0].Peak == nil {
		return append(row, none, none)
	}
	return append(row,
		cell(mebibyte, 1, func(m Measurement) float64 { return float64(m.Peak.Resident) }),
		cell(mebibyte, 1, func(m Measurement) float64 { return float64(m.Peak.Private) }),
	)
}

// none stands where there is nothing to measure.
const none = "-"

// calls returns the number of system calls that strace counted, or what is known
// without it: reads and writes, which are not all.
func (r results) calls(of Measurement, readsAndWrites float64) string {
	if of.Peak == nil { // There is no proxy.
		return none
	}
	for _, c := range r.Calls {
		if c.Mode == of.Mode && c.Workload == of.Workload && c.Subject == of.Subject {
			return decimal(c.PerPair, 3)
		}
	}
	return "> " + strconv.FormatFloat(readsAndWrites, 'f', 3, 64)
}

// ratioTable returns how subjects compare in one mode.
func (r results) ratioTable(mode string) string {
	var rows [][]string
	for _, w := range workloads {
		for _, ratio := range r.Ratios {
			if ratio.Mode == mode && ratio.Workload == w.name {
				rows = append(rows, []string{
					w.name, ratio.Subject + " / " + ratio.Base, ratio.CPU.String(), ratio.Rate.String(), ratio.P99.String(),
				})
			}
		}
	}
	if len(rows) == 0 {
		return ""
	}
	return "\nRatios within a round: the median (least to greatest).\n\n" +
		table([]string{"workload", "ratio", "CPU per pair", "requests/s", "p99"}, rows)
}

// String returns the spread as a cell of a table.
func (s Spread) String() string {
	if s.Median == 0 {
		return none
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.Median, s.Least, s.Greatest)
}

// table returns a table in Markdown, with columns as wide as what is in them.
// What is no word stands at the right.
func table(heads []string, rows [][]string) string {
	widths := make([]int, len(heads))
	for _, row := range append([][]string{heads}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	right := func(column int) bool {
		return len(rows) > 0 && strings.ContainsAny(rows[0][column][:1], "0123456789>"+none)
	}
	var b strings.Builder
	line := func(cell func(i int) string) {
		for i := range heads {
			b.WriteString("| " + cell(i) + " ")
		}
		b.WriteString("|\n")
	}
	text := func(row []string) {
		line(func(i int) string {
			if right(i) {
				return fmt.Sprintf("%*s", widths[i], row[i])
			}
			return fmt.Sprintf("%-*s", widths[i], row[i])
		})
	}
	text(heads)
	line(func(i int) string {
		if right(i) {
			return strings.Repeat("-", widths[i]-1) + ":"
		}
		return strings.Repeat("-", widths[i])
	})
	for _, row := range rows {
		text(row)
	}
	return b.String()
}

// decimal returns a number with some digits, none for what was not measured.
func decimal(value float64, digits int) string {
	if value == 0 {
		return none
	}
	return strconv.FormatFloat(value, 'f', digits, 64)
}

// grouped returns a number with commas between thousands.
func grouped(value float64) string {
	s := strconv.FormatInt(int64(math.Round(value)), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// counted returns a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
