package admin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/foo-protocol/foo-sidecar/internal/golden"
)

//go:generate go test -run ^TestReferenceIsCurrent$ -update .

func TestReferenceIsCurrent(t *testing.T) {
	const remedy = "go generate ./pkg/admin"
	all := newHandler(fullOptions())
	var page strings.Builder
	fmt.Fprintf(&page, "# HTTP paths\n\n<!-- Generated: %s. -->\n\n", remedy)
	page.WriteString("Everything is read with GET or HEAD; nothing can be changed. `/debug/pprof/` exists only with\n" +
		"`admin.pprof: true`. An unknown path is answered with 404, another method with 405, as JSON.\n\n")
	page.WriteString("| path | what it answers |\n| --- | --- |\n")
	for _, e := range all.endpoints {
		fmt.Fprintf(&page, "| `%s` | %s |\n", e.path, e.about)
	}
	fmt.Fprintf(&page, pageReference, maxViewers)
	fmt.Fprintf(&page, tapReference, defaultTapRate, tapHeartbeat.Seconds())
	page.WriteString("| parameter | what it may be |\n| --- | --- |\n")
	for _, p := range tapParams {
		fmt.Fprintf(&page, "| `%s` | %s |\n", p.name, p.allowed)
	}
	golden.Compare(t, "../../docs/http.md", page.String(), "run "+remedy)
}

const pageReference = `
## The status page

` + "`/`" + ` is a page for browsers: what is wrong, in one line, and below it the last five minutes and the state of each
part, with links to the JSON that they come from. It needs nothing but this server, so it works through
` + "`kubectl port-forward`" + `, and its links are relative, so it works through ` + "`kubectl proxy`" + ` as well.

Its data come from ` + "`/events`" + `: server-sent events, named ` + "`update`" + `, one a second. At most %d pages can be open; another
one is answered with 503. Their data are made once for all of them, and not at all while there is none: a page in a tab that
nobody looks at disconnects. A reader that is some seconds behind is disconnected. Each event is one JSON object:

| member | what it is |
| --- | --- |
| ` + "`stats`" + ` | as ` + "`/stats`" + ` |
| ` + "`status`" + ` | as ` + "`/status`" + ` |
| ` + "`recent`" + ` | as ` + "`/debug/recent`" + ` |
| ` + "`history`" + ` | one object for each second: all of the last five minutes in the first event of a connection, the newest ones in others |
| ` + "`bounds`" + ` | the upper bounds of the latency buckets in ` + "`history`" + `, in seconds |

An event named ` + "`problem`" + ` says that there are no data, and why is in the log.
`

const tapReference = `
## Watching pairs

` + "`/tap`" + ` answers with one line of JSON for each pair of a request and its answer, as it ends, until the reader leaves:

    curl -N 'http://localhost:8088/tap?outcome=nak,nak_local&slower=50ms'

Without parameters it shows all pairs, but not more than %d a second. It never holds up traffic: what a reader does not take in
time is left out. A blank line is sent after %g s of silence. At most eight may read at a time; one more is answered with
503, and a parameter that is wrong with 400, as JSON that says what is allowed.

`
