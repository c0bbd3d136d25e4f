package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/foo-protocol/foo-sidecar"

// A row says what a package, and every package below it, may import. The row
// with the longest matching tree counts.
type row struct {
	tree string
	// ours are the trees of this module that it may import besides its own.
	// "*" means all.
	ours []string
	why  string
	// never are packages, with all below them, that it must not import: of the
	// standard library, directly; of others, not even through something else.
	never []ban
}

type ban struct{ path, why string }

const (
	prometheus        = "github.com/prometheus"
	openTelemetry     = "go.opentelemetry.io"
	kubernetes        = "k8s.io"
	controllerRuntime = "sigs.k8s.io"
	viper             = "github.com/spf13/viper"
)

// mechanism are bans for packages that move bytes.
var mechanism = []ban{
	{prometheus, "mechanism counts and offers its numbers; telemetry exports them"},
	{openTelemetry, "mechanism reports pairs; telemetry makes spans of them"},
	{kubernetes, "the data path must work without a cluster, and not pay for one"},
	{controllerRuntime, "the data path must work without a cluster, and not pay for one"},
	{viper, "a mechanism is given options; only config knows where they come from"},
}

var table = []row{
	{
		tree: "config",
		why:  "the configuration is plain values that everybody may import, so it imports nobody",
	},
	{
		tree: "pkg/protocol",
		why:  "a decoder sees the bytes of one direction and nothing else",
		never: append([]ban{
			{"net", "a decoder is fed bytes and opens no connection"},
			{"log", "a decoder reports what it finds; others decide what is worth a line"},
			{"context", "a decoder never waits, so there is nothing to cancel"},
			{"time", "the time is read once a read, by the relay, not once a message"},
		}, mechanism...),
	},
	{
		tree:  "pkg/upstream",
		ours:  []string{"pkg/protocol"},
		why:   "it reaches servers; what passes over the connections is not its business",
		never: mechanism,
	},
	{
		tree:  "pkg/proxy",
		ours:  []string{"pkg/protocol"},
		why:   "it meets upstream and telemetry through small interfaces of its own, so that sessions can be tested without either",
		never: mechanism,
	},
	{
		tree: "pkg/telemetry",
		ours: []string{"pkg/protocol", "pkg/proxy", "pkg/upstream"},
		why:  "it turns what the mechanism counts into numbers to read, and is told its settings",
	},
	{
		tree: "pkg/checkpoint",
		why:  "what is saved is a format of its own, which must not change because a counter was renamed",
	},
	{
		tree: "pkg/admin",
		why:  "it declares the sources it reads, so that it can be tested with invented ones",
	},
	{
		tree: "pkg/inject",
		why:  "injection is a pure function of a pod and settings, used by the webhook and by the command line alike",
		never: []ban{
			{"k8s.io/client-go", "a pure function asks no API server"},
			{controllerRuntime, "a pure function needs no manager"},
		},
	},
	{
		tree: "pkg/sidecar",
		ours: []string{"config", "pkg"},
		why:  "the one place that wires all of the packages together",
	},
	{
		tree: "cmd",
		ours: []string{"config", "pkg", "internal"},
		why:  "a command may use every package, but not another command",
	},
	{
		tree: "internal/cli",
		why:  "what the commands share about being a command",
	},
	{
		tree: "internal",
		ours: []string{"*"},
		why:  "helpers for tests may use what they help to test",
	},
	{
		tree:  "internal/programs",
		why:   "what it says of the programs is what they say themselves, so it uses none of their code",
		never: []ban{{"testing", "a command starts the programs, too"}},
	},
	{
		tree: "internal/programs/programstest",
		ours: []string{"internal/programs"},
		why:  "it makes the errors of programs failures of a test, and nothing else",
	},
	{
		tree: "test",
		ours: []string{"*"},
		why:  "tests of the whole may use the whole",
	},
}

// An exclusive package may be imported only by some trees of this module.
type exclusive struct {
	path string
	by   []string
	why  string
}

var exclusives = []exclusive{
	{viper, []string{"config"}, "it is global, mutable and full of traps; everybody else sees a plain struct"},
	{"github.com/spf13/cobra", []string{"cmd", "internal/cli"}, "a package that parses a command line can't be used from anywhere else"},
	{"github.com/stretchr/testify", nil, "tests use the standard testing package and go-cmp"},
	{"github.com/onsi", nil, "tests use the standard testing package and go-cmp"},
}

func TestPackagesImportOnlyWhatTheirRowAllows(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			pkgs := list(t, goos)
			for _, p := range pkgs.ours() {
				for _, problem := range check(pkgs, p) {
					t.Error(problem)
				}
			}
		})
	}
}

func TestARowIsOfUse(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range table {
		if r.why == "" {
			t.Errorf("the row of %s gives no reason", r.tree)
		}
		if seen[r.tree] {
			t.Errorf("%s has two rows", r.tree)
		}
		seen[r.tree] = true
	}
}

// The checker is checked with an invented module, because a checker that finds
// nothing looks just like a module that breaks no rule.
func TestTheCheckerFindsWhatIsForbidden(t *testing.T) {
	for _, tc := range []struct {
		name, path string
		pkgs       packages
		want       string
	}{
		{
			name: "a package of ours that the row does not allow",
			path: module + "/pkg/proxy",
			pkgs: packages{module + "/pkg/proxy": {Imports: []string{module + "/config"}}},
			want: "pkg/proxy imports config, but may import of this module only pkg/protocol: it meets upstream",
		},
		{
			name: "a forbidden package behind an innocent one",
			path: module + "/pkg/proxy",
			pkgs: packages{
				module + "/pkg/proxy": {Imports: []string{"example.com/innocent"}},
				"example.com/innocent": {Imports: []string{
					"github.com/prometheus/client_golang/prometheus",
				}},
			},
			want: "pkg/proxy reaches github.com/prometheus/client_golang/prometheus (through example.com/innocent): mechanism counts",
		},
		{
			name: "a forbidden package of the standard library",
			path: module + "/pkg/protocol/foo",
			pkgs: packages{module + "/pkg/protocol/foo": {Imports: []string{"log/slog"}}},
			want: "pkg/protocol/foo imports log/slog: a decoder reports",
		},
		{
			name: "a command that uses another command",
			path: module + "/cmd/sidecar",
			pkgs: packages{module + "/cmd/sidecar": {Imports: []string{module + "/cmd/foo/load"}}},
			want: "cmd/sidecar imports cmd/foo/load, but may import of this module only config, pkg, internal: a command may",
		},
		{
			name: "an exclusive package",
			path: module + "/pkg/sidecar",
			pkgs: packages{module + "/pkg/sidecar": {Imports: []string{viper}}},
			want: "pkg/sidecar imports github.com/spf13/viper, which only config may: it is global",
		},
		{
			name: "an exclusive package in a test",
			path: module + "/config",
			pkgs: packages{module + "/config": {XTestImports: []string{"github.com/stretchr/testify/require"}}},
			want: "config imports github.com/stretchr/testify/require, which nobody may: tests use",
		},
		{
			name: "a package without a row",
			path: module + "/pkg/util",
			pkgs: packages{module + "/pkg/util": {}},
			want: "pkg/util has no row in the import table: add one, with its reason",
		},
		{
			name: "what is allowed",
			path: module + "/pkg/protocol/foo",
			pkgs: packages{module + "/pkg/protocol/foo": {
				Imports:     []string{module + "/pkg/protocol", "strconv"},
				TestImports: []string{"testing", "time", "net"},
			}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := check(tc.pkgs, tc.path)
			if tc.want == "" {
				if len(got) > 0 {
					t.Errorf("got %q, want no problem", got)
				}
				return
			}
			if len(got) != 1 || !strings.HasPrefix(got[0], tc.want) {
				t.Errorf("got %q, want one problem that begins with %q", got, tc.want)
			}
		})
	}
}

// check returns the rules that the package at path breaks.
func check(pkgs packages, path string) []string {
	var problems []string
	complain := func(why string, what ...string) {
		problems = append(problems, short(path)+" "+strings.Join(what, "")+": "+why)
	}
	p := pkgs[path]
	r, ok := rowOf(short(path))
	if !ok {
		complain("add one, with its reason", "has no row in the import table")
		return problems
	}
	for _, imp := range p.Imports {
		if within(imp, module) && !r.allows(short(path), short(imp)) {
			complain(r.why, "imports ", short(imp), ", but may import of this module only ", orNothing(r.ours))
		}
		for _, b := range r.never {
			if standard(imp) && within(imp, b.path) {
				complain(b.why, "imports ", imp)
			}
		}
	}
	for dep, via := range pkgs.reach(path) {
		for _, b := range r.never {
			if !standard(dep) && within(dep, b.path) {
				complain(b.why, "reaches ", dep, " (through ", via, ")")
			}
		}
	}
	for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
		for _, x := range exclusives {
			if within(imp, x.path) && !withinAny(short(path), x.by) {
				complain(x.why, "imports ", imp, ", which ", onlyThese(x.by), " may")
			}
		}
	}
	return problems
}

func rowOf(tree string) (row, bool) {
	var best row
	for _, r := range table {
		if within(tree, r.tree) && len(r.tree) > len(best.tree) {
			best = r
		}
	}
	return best, best.tree != ""
}

// allows reports whether the package from, which the row is about, may import
// the package to.
func (r row) allows(from, to string) bool {
	own := r.tree
	if own == "cmd" { // Each command is a tree of its own.
		own = strings.Join(strings.SplitN(from, "/", 3)[:2], "/")
	}
	return slices.Contains(r.ours, "*") || within(to, own) || withinAny(to, r.ours)
}

// packages are those of the module and all that they depend on, by path.
type packages map[string]pkg

// pkg is what "go list -json" tells of a package.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// list lists the packages of the module as they are built for one system.
func list(t *testing.T, goos string) packages {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list for %s: %v\n%s", goos, err, &stderr)
	}
	pkgs := packages{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("read what go list printed: %v", err)
		}
		pkgs[p.ImportPath] = p
	}
}

// ours returns the paths of the module's packages.
func (ps packages) ours() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for path := range maps.Keys(ps) {
			if within(path, module) && !yield(path) {
				return
			}
		}
	})
}

// reach returns every package that the one at path depends on, each with the
// package that imports it on a shortest way there.
func (ps packages) reach(path string) map[string]string {
	via := map[string]string{}
	for queue := []string{path}; len(queue) > 0; queue = queue[1:] {
		for _, imp := range ps[queue[0]].Imports {
			if _, seen := via[imp]; !seen {
				via[imp] = queue[0]
				queue = append(queue, imp)
			}
		}
	}
	return via
}

// within reports whether path is tree or lies below it.
func within(path, tree string) bool {
	return path == tree || strings.HasPrefix(path, tree+"/")
}

func withinAny(path string, trees []string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return within(path, tree) })
}

// standard reports whether a package is of the standard library.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// short is a package's path within the module.
func short(path string) string { return strings.TrimPrefix(path, module+"/") }

func orNothing(trees []string) string {
	if len(trees) == 0 {
		return "nothing"
	}
	return strings.Join(trees, ", ")
}

func onlyThese(trees []string) string {
	if len(trees) == 0 {
		return "nobody"
	}
	return "only " + strings.Join(trees, ", ")
}
