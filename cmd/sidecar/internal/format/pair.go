package format

import (
	"fmt"
	"slices"
	"strings"

	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/terminal"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry/inspect"
)

// pairColumns are the widths of the columns of a pair, which must be known
// before the pairs are. A negative one is aligned to the left. The last column
// is as wide as it is.
var pairColumns = []struct {
	title string
	width int
}{
	{"TIME", -12}, {"OUTCOME", -10}, {"DURATION", 9}, {"SEQ", 9}, {"SESSION", 7},
	{"REQ/ANS BYTES", 13}, {"CLIENT", -21}, {"UPSTREAM", -21}, {"DETAILS", 0},
}

const pairGap = "  "

// PairHeader returns the titles above pairs.
func PairHeader() terminal.Line {
	titles := make([]string, len(pairColumns))
	for i, c := range pairColumns {
		titles[i] = c.title
	}
	return terminal.Line{{Style: terminal.Dim, Text: joinPair(titles)}}
}

// Pair returns a pair on one line, which begins with when it was.
func Pair(when string, r *inspect.Record) terminal.Line {
	cells := []string{
		when,
		terminal.Safe(r.Outcome),
		Seconds(r.Duration),
		fmt.Sprint(r.Seq),
		fmt.Sprint(r.Session),
		fmt.Sprintf("%d/%d", r.RequestBytes, r.AnswerBytes),
		orNone(terminal.Safe(r.Client)),
		orNone(terminal.Safe(r.Server)),
		pairDetails(r),
	}
	style := terminal.Plain
	switch r.Outcome {
	case "ack":
	case "nak":
		style = terminal.Warn
	default:
		style = terminal.Bad
	}
	// The style covers the outcome's cell only.
	line := joinPair(cells)
	begin := -pairColumns[0].width + len(pairGap)
	end := begin + len(cells[1])
	return terminal.Line{{Text: line[:begin]}, {Style: style, Text: line[begin:end]}, {Text: line[end:]}}
}

// pairDetails returns what is worth telling of few pairs only.
func pairDetails(r *inspect.Record) string {
	var details []string
	add := func(format string, args ...any) { details = append(details, fmt.Sprintf(format, args...)) }
	if r.Reason != "" {
		add("%s", terminal.Safe(r.Reason))
	}
	if r.Wait > 0 {
		add("waited %s", Seconds(r.Wait))
	}
	if r.Retries > 0 {
		add("retries %d", r.Retries)
	}
	if slices.Contains(r.Why, "slow") {
		add("slow")
	}
	if r.TraceID != "" {
		add("trace %s", terminal.Safe(r.TraceID))
	}
	if r.Request != nil {
		add("%s", quoted(r.Request))
	}
	if r.Answer != nil {
		add("-> %s", quoted(r.Answer))
	}
	return strings.Join(details, " ")
}

// quoted returns Data in quotation marks, so that its end is seen.
func quoted(data *string) string {
	return `"` + terminal.Safe(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(*data)) + `"`
}

// joinPair puts cells below their titles.
func joinPair(cells []string) string {
	var b strings.Builder
	for i, cell := range cells {
		if i > 0 {
			b.WriteString(pairGap)
		}
		fmt.Fprintf(&b, "%*s", pairColumns[i].width, cell)
	}
	return strings.TrimRight(b.String(), " ")
}

func orNone(s string) string {
	if s == "" {
		return None
	}
	return s
}
