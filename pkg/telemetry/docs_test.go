package telemetry

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/golden"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// TestMetricsPage holds docs/metrics.md to the code. With -update it writes the
// page.
func TestMetricsPage(t *testing.T) {
	page := template.Must(template.ParseFiles("testdata/metrics.md.tmpl"))
	var got bytes.Buffer
	if err := page.Execute(&got, map[string]any{
		"Metrics": metricRows(),
		"Schema":  nativeSchema,
		"Bounds":  classicBounds[len(classicBounds)-2],
		"Fields":  fieldRows(t, parseStructs(t, "stats.go", "snapshot.go"), reflect.TypeFor[Stats](), ""),
		"Reasons": reasons(t),
	}); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "../../docs/metrics.md", got.String(), "run go generate ./pkg/telemetry")
}

type metricRow struct{ Name, Type, Unit, Labels, Help string }

func metricRows() (rows []metricRow) {
	for _, m := range Metrics() {
		labels := ""
		for i, label := range m.Labels {
			if i > 0 {
				labels += ", "
			}
			labels += "`" + label + "`"
		}
		rows = append(rows, metricRow{m.Name, m.Type, m.Unit, labels, m.Help})
	}
	return rows
}

type fieldRow struct{ Path, Type, Help string }

// comments are the comments of the fields of structs, by the names of the
// struct and the field.
type comments map[[2]string]string

func parseStructs(t *testing.T, files ...string) comments {
	t.Helper()
	found := make(comments)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range s.Fields.List {
					for _, name := range field.Names {
						found[[2]string{spec.Name.Name, name.Name}] = strings.Join(strings.Fields(field.Doc.Text()), " ")
					}
				}
			}
			return true
		})
	}
	return found
}

// fieldRows describes the JSON of a struct, in the order of its fields.
func fieldRows(t *testing.T, help comments, of reflect.Type, prefix string) (rows []fieldRow) {
	t.Helper()
	for field := range of.Fields() {
		if field.Anonymous {
			if prefix == "" { // elsewhere they are the same again
				rows = append(rows, fieldRows(t, help, field.Type, prefix)...)
			}
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		text := help[[2]string{of.Name(), field.Name}]
		if name == "" || text == "" {
			t.Errorf("%s.%s needs a JSON name and a comment for docs/metrics.md", of.Name(), field.Name)
		}
		path := prefix + name
		kind, inner := jsonType(t, field.Type)
		rows = append(rows, fieldRow{path, kind, text})
		if inner != nil {
			if kind == "list" {
				path += "[]"
			}
			rows = append(rows, fieldRows(t, help, inner, path+".")...)
		}
	}
	return rows
}

// jsonType names the type that a Go type has in JSON, and returns the struct
// that is inside, if any.
func jsonType(t *testing.T, of reflect.Type) (name string, inner reflect.Type) {
	t.Helper()
	if of == reflect.TypeFor[time.Time]() {
		return "time (RFC 3339)", nil
	}
	switch of.Kind() {
	case reflect.Int64:
		return "integer", nil
	case reflect.Float64:
		return "number", nil
	case reflect.String:
		return "string", nil
	case reflect.Bool:
		return "boolean", nil
	case reflect.Map:
		return "integer by reason", nil
	case reflect.Struct:
		return "object", of
	case reflect.Pointer:
		return "object", of.Elem()
	case reflect.Slice:
		return "list", of.Elem()
	default:
		t.Fatalf("docs/metrics.md has no name for the type %v", of)
		return "", nil
	}
}

// A reasonTable explains the values of one set of reasons.
type reasonTable struct {
	Title  string
	Values []reasonRow
}

type reasonRow struct{ Name, Help string }

func reasons(t *testing.T) []reasonTable {
	t.Helper()
	return []reasonTable{
		{"`local_naks_total`, `nak_local_by_reason`", explain(t, 0, proxy.NumRefusals, map[string]string{
			"unavailable": "There was no upstream connection to send the request to.",
			"lost":        "The upstream connection was lost while the request was outstanding.",
			"draining":    "The request was still outstanding when draining had to end.",
			"undecodable": "A malformed message was rejected (`onMalformed: reject`). It is no request that ended.",
			"limit":       "The listener had no room for the connection. It is no request that ended.",
		})},
		{"`unanswered_total`, `unanswered_by_reason`", explain(t, 0, proxy.NumUnanswered, map[string]string{
			"client_left":   "The client closed its connection before the answer.",
			"upstream_lost": "The upstream connection was lost and the client's connection was closed with it.",
			"drained":       "Draining ended the connection.",
			"forgotten":     "Too many requests were outstanding to remember this one.",
			"restart":       "The sidecar itself died before the answer, as its checkpoint tells. Only in the statistics.",
		})},
		{"`connections_closed_total`, `closed_by_reason`", explain(t, proxy.ClosedByClient, proxy.NumCloseReasons, map[string]string{
			"client":        "The client ended its connection, and everything was passed on.",
			"upstream":      "The upstream ended its connection (`onLoss: close`).",
			"client_lost":   "The client's connection broke.",
			"upstream_lost": "The upstream's connection broke (`onLoss: close`).",
			"unavailable":   "No upstream could be reached (`onLoss: close`).",
			"torn":          "The upstream was lost in the middle of an answer.",
			"idle":          "Nothing moved for the idle timeout.",
			"drained":       "The listener drained, and nothing was outstanding.",
			"cut":           "The listener drained, and time was up.",
			"restart":       "The sidecar itself died, as its checkpoint tells. Only in the statistics.",
		})},
		{"`malformed_total`, `malformed_by_reason`", explain(t, 0, protocol.NumFaults, map[string]string{
			"type":      "The message is of a type that the protocol does not know.",
			"seq":       "There is no number where one is due.",
			"range":     "The number does not fit into 64 bits.",
			"header":    "The header is longer than any sensible speaker's.",
			"truncated": "The sender began the message and did not finish it.",
		})},
		{"`nonconforming_messages_total`, `nonconforming`", append(explain(t, 0, protocol.NumQuirks, map[string]string{
			"non_utf8": "The text is not UTF-8.",
			"crlf":     "The line ends in a carriage return and a newline.",
		}), explain(t, proxy.ViolatedDuplicate, proxy.ViolatedUnmatched, map[string]string{
			"duplicate_seq": "A request has the Seq of one that is still in flight. Only of clients.",
			"non_ascending": "A request's Seq is not above the one before it. Only of clients.",
		})...)},
		{"`spans_dropped_total`, `spans.dropped`", []reasonRow{
			{"limit", "The pair was above `telemetry.pairs.perSecond`, or one read brought too many to look at each."},
			{"queue", "The pair or span found a queue full, because the collector is slow or the burst was large."},
			{"export", "The collector could not be reached or did not take the span."},
		}},
	}
}

// explain returns the reasons from first up to end in their order. Each must
// be in help, and nothing else.
func explain[R interface {
	~uint8
	String() string
}](t *testing.T, first, end R, help map[string]string) (rows []reasonRow) {
	t.Helper()
	for r := first; r < end; r++ {
		name := r.String()
		if help[name] == "" {
			t.Errorf("docs/metrics.md does not explain the %T %s", r, name)
		}
		rows = append(rows, reasonRow{name, help[name]})
	}
	if len(help) != len(rows) {
		t.Errorf("docs/metrics.md explains %d values of %T, want %d", len(help), first, len(rows))
	}
	return rows
}
