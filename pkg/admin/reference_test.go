package admin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/foo-protocol/foo-sidecar/internal/golden"
)

//go:generate go test -run ^TestReferenceIsCurrent$ -update .

func TestReferenceIsCurrent(t *testing.T) {
	const remedy = "go generate ./pkg/admin"
	all, ok := Handler(Options{
		Stats:   func() ([]byte, error) { return nil, nil },
		Config:  func() Config { return Config{} },
		Metrics: http.NotFoundHandler(),
		Pprof:   func() bool { return true },
	}).(*handler)
	if !ok {
		t.Fatal("the handler is of another type")
	}
	var page strings.Builder
	fmt.Fprintf(&page, "# HTTP paths\n\n<!-- Generated: %s. -->\n\n", remedy)
	page.WriteString("Everything is read with GET or HEAD; nothing can be changed. `/debug/pprof/` exists only with\n" +
		"`admin.pprof: true`. An unknown path is answered with 404, another method with 405, as JSON.\n\n")
	page.WriteString("| path | what it answers |\n| --- | --- |\n")
	for _, e := range all.endpoints {
		fmt.Fprintf(&page, "| `%s` | %s |\n", e.path, e.about)
	}
	golden.Compare(t, "../../docs/http.md", page.String(), "run "+remedy)
}
