package dashboard

import (
	"fmt"
	"time"

	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/format"
	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/terminal"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// cell is what stands in a column of a row.
type cell = terminal.Span

// column is a column of the table. The most important stand first, for a narrow
// terminal cuts the last.
type column struct {
	title string
	sort  Sort // the order that goes by this column, if there is one
	left  bool // aligned to the left
	width int  // the least
	cell  func(e *entry) cell
}

var columns = []column{
	{title: "STATE", left: true, width: 5, cell: state},
	{title: "REQ/S", sort: SortRate, width: 9, cell: func(e *entry) cell { return plain(format.Rate(e.last.Stats.RequestRate1s)) }},
	{title: "10S", width: 9, cell: func(e *entry) cell { return plain(format.Rate(e.last.Stats.RequestRate10s)) }},
	{title: "P50", width: 7, cell: func(e *entry) cell { p50, _, ok := e.latency(); return secondsIf(ok, p50) }},
	{title: "P99", sort: SortLatency, width: 7, cell: func(e *entry) cell { _, p99, ok := e.latency(); return secondsIf(ok, p99) }},
	{title: "FAILED", sort: SortFailed, width: 6, cell: failedShare},
	{title: "FLIGHT", sort: SortInFlight, width: 6, cell: func(e *entry) cell { return plain(format.Count(e.last.Stats.InFlight)) }},
	{title: "OLDEST", sort: SortOldest, width: 6, cell: func(e *entry) cell { return secondsIf(e.last.Stats.InFlight > 0, e.last.Stats.OldestRequestSeconds) }},
	{title: "QUEUE", width: 5, cell: queue},
	{title: "CONNS", width: 5, cell: func(e *entry) cell { return plain(format.Count(e.last.Stats.Connections.Open)) }},
	{title: "UPSTREAM", width: 8, cell: endpointsUp},
	{title: "CONFIG", width: 6, cell: generation},
	{title: "CHECKPOINT", width: 10, cell: checkpoint},
}

func plain(text string) cell { return cell{Text: text} }

func secondsIf(ok bool, seconds float64) cell {
	if !ok {
		return plain(format.None)
	}
	return plain(format.Seconds(seconds))
}

func state(e *entry) cell {
	switch s := e.last.Status; {
	case s.Drain.Draining:
		return cell{Style: terminal.Warn, Text: "drain"}
	case len(s.Reasons) > 0:
		return cell{Style: terminal.Bad, Text: "unready"}
	}
	return cell{Style: terminal.Good, Text: "ready"}
}

func failedShare(e *entry) cell {
	failed, all := e.failed()
	c := plain(format.Share(failed, all))
	if failed > 0 {
		c.Style = terminal.Warn
	}
	return c
}

func queue(e *entry) cell {
	c := plain(format.Count(e.last.Stats.Queue))
	if e.last.Stats.Queue > 0 {
		c.Style = terminal.Warn
	}
	return c
}

// endpointsUp tells how many endpoints of all upstreams are not known to be
// down.
func endpointsUp(e *entry) cell {
	up, all := 0, 0
	for _, u := range e.last.Stats.Upstreams {
		for _, endpoint := range u.Endpoints {
			all++
			if endpoint.LastError == "" {
				up++
			}
		}
	}
	c := plain(fmt.Sprintf("%d/%d up", up, all))
	if up < all {
		c.Style = terminal.Bad
	}
	return c
}

func generation(e *entry) cell {
	c := e.last.Stats.Config
	switch text := fmt.Sprintf("#%d", c.Generation); {
	case c.Degraded || c.LastError != "":
		return cell{Style: terminal.Bad, Text: text + " bad"}
	default:
		return plain(text)
	}
}

func checkpoint(e *entry) cell {
	c := e.last.Stats.Checkpoint
	age, ok := e.checkpointAge()
	switch {
	case !c.Enabled:
		return cell{Style: terminal.Dim, Text: "off"}
	case !c.Working:
		return cell{Style: terminal.Bad, Text: "failing"}
	case !ok:
		return plain(format.None)
	}
	return plain(format.Age(age))
}

// nameTitle is above the names.
const nameTitle = "SIDECAR"

// table returns the rows of the entries, below their titles. The selection is
// marked if mark is set.
func (b *Board) table(entries []*entry, mark bool, now time.Time) []terminal.Line {
	widths := make([]int, len(columns))
	nameWidth := len(nameTitle)
	rows := make([][]cell, len(entries))
	for i, c := range columns {
		widths[i] = max(c.width, len(c.title))
	}
	for r, e := range entries {
		nameWidth = max(nameWidth, terminal.Width(terminal.Safe(e.name)))
		if !e.reached() {
			continue
		}
		for i, c := range columns {
			cell := c.cell(e)
			rows[r] = append(rows[r], cell)
			widths[i] = max(widths[i], terminal.Width(cell.Text))
		}
	}
	lines := []terminal.Line{b.titles(nameWidth, widths)}
	for r, e := range entries {
		name := cell{Text: fmt.Sprintf("%-*s", nameWidth, terminal.Safe(e.name))}
		if mark && e == b.selected {
			name.Style = terminal.Inverse
		}
		line := terminal.Line{name}
		if rows[r] == nil {
			line = append(line, cell{Style: terminal.Bad, Text: "  " + missing(e, now)})
		}
		for i, cell := range rows[r] {
			line = append(line, plain("  "), columns[i].align(cell, widths[i]))
		}
		lines = append(lines, line)
	}
	return lines
}

func (b *Board) titles(nameWidth int, widths []int) terminal.Line {
	title := func(text string, sort Sort) cell {
		if sort != "" && sort == b.sort && len(b.entries) > 1 {
			return cell{Style: terminal.Bold, Text: text}
		}
		return cell{Style: terminal.Dim, Text: text}
	}
	line := terminal.Line{title(fmt.Sprintf("%-*s", nameWidth, nameTitle), SortName)}
	for i, c := range columns {
		line = append(line, plain("  "), c.align(title(c.title, c.sort), widths[i]))
	}
	return line
}

// align pads a cell to the width of its column.
func (c column) align(cell cell, width int) cell {
	if c.left {
		width = -width
	}
	cell.Text = fmt.Sprintf("%*s", width, cell.Text)
	return cell
}

// missing says why an entry has no numbers.
func missing(e *entry, now time.Time) string {
	text := "connecting"
	if e.err != nil {
		text = terminal.Safe(e.err.Error())
	}
	if e.last != nil {
		text = fmt.Sprintf("last seen %s ago: %s", format.Age(now.Sub(e.seen)), text)
	}
	return text
}

// levels are the heights of the bars of a chart.
var levels = []rune("▁▂▃▄▅▆▇█")

// chart returns a chart of the newest points, one column each.
func chart(points []telemetry.Point, width int, value func(telemetry.Point) float64) string {
	points = points[max(0, len(points)-width):]
	highest := 0.0
	for _, p := range points {
		highest = max(highest, value(p))
	}
	bars := make([]rune, len(points))
	for i, p := range points {
		level := 0
		if highest > 0 {
			level = int(value(p) / highest * float64(len(levels)-1))
		}
		bars[i] = levels[min(max(level, 0), len(levels)-1)]
	}
	return string(bars)
}
