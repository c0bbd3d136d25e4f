package dashboard

import (
	"fmt"
	"slices"
	"time"

	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/format"
	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/terminal"
)

// Screen returns what a terminal of a size shows: the table, and all about the
// selected sidecar. Where there is not room for all rows, there are those
// around the selection.
func (b *Board) Screen(height int, now time.Time) []terminal.Line {
	entries := b.sorted()
	details := b.selected.details(now)
	// Four lines are around the table: the head, its titles, a blank one, and the
	// keys. The details get what half of the table leaves at least.
	room := max(1, min(len(entries), max(height-4-len(details), height/2-2)))
	first := 0
	if at := slices.Index(entries, b.selected); at >= room {
		first = at - room + 1
	}
	lines := []terminal.Line{b.head(len(entries)-room, now)}
	lines = append(lines, b.table(entries[first:first+room], len(entries) > 1, now)...)
	lines = append(lines, nil)
	lines = append(lines, details[:min(len(details), max(0, height-len(lines)-1))]...)
	for len(lines) < height-1 {
		lines = append(lines, nil)
	}
	return append(lines[:max(0, min(len(lines), height-1))], b.keys())
}

// Once returns what there is to show of all sidecars.
func (b *Board) Once(now time.Time) []terminal.Line {
	entries := b.sorted()
	lines := b.table(entries, false, now)
	for _, e := range entries {
		if e.reached() {
			lines = append(append(lines, nil), e.details(now)...)
		}
	}
	return lines
}

func (b *Board) head(hidden int, now time.Time) terminal.Line {
	text := fmt.Sprintf(" every %s", b.interval)
	if len(b.entries) > 1 {
		text = fmt.Sprintf(" %d sidecars, by %s,%s", len(b.entries), b.sort, text)
		if b.reversed {
			text += ", reversed"
		}
		if hidden > 0 {
			text += fmt.Sprintf(", %d not shown", hidden)
		}
	}
	return terminal.Line{
		{Style: terminal.Bold, Text: "sidecar top"},
		{Style: terminal.Plain, Text: text + "  "},
		{Style: terminal.Dim, Text: now.Format(time.TimeOnly)},
	}
}

func (b *Board) keys() terminal.Line {
	if len(b.entries) == 1 {
		return terminal.Text(terminal.Dim, "q quit")
	}
	return terminal.Text(terminal.Dim, "q quit   s sort   r reverse   up/down select")
}

// chartSeconds is how much of the past a chart shows.
const chartSeconds = 60

// field returns a line of the details: its title and what it says.
func field(title string, says ...terminal.Span) terminal.Line {
	return append(terminal.Line{{Style: terminal.Dim, Text: fmt.Sprintf("%-12s", title)}}, says...)
}

func say(style terminal.Style, layout string, args ...any) terminal.Span {
	return terminal.Span{Style: style, Text: fmt.Sprintf(layout, args...)}
}

// sayIf is a warning, unless n is zero.
func sayIf(n int64, style terminal.Style, layout string) terminal.Span {
	if n == 0 {
		style = terminal.Plain
	}
	return say(style, layout, format.Count(n))
}
