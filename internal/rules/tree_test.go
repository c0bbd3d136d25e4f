package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is where the module begins, seen from this package.
const root = "../.."

// source is one Go file of the repository.
type source struct {
	name  string // relative to root, with slashes
	file  *ast.File
	fset  *token.FileSet
	lines int
}

func (s source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

// sources parses all Go files of the repository, of every module and for every
// system.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "bin" || base == "dist") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(base) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		all = append(all, source{filepath.ToSlash(rel), file, fset, strings.Count(string(text), "\n")})
		return nil
	})
	if err != nil {
		t.Fatalf("read the sources: %v", err)
	}
	return all
}

func TestEveryPackageHasOnePackageCommentInDocGo(t *testing.T) {
	const why = "the comment says what the package is for and what it does not do, and doc.go is where it is looked for"
	packages := map[string]bool{} // by directory: whether the comment was found
	for _, s := range sources(t) {
		dir := path.Dir(s.name)
		if s.test() && strings.HasSuffix(s.file.Name.Name, "_test") {
			continue
		}
		packages[dir] = packages[dir] || false
		if s.file.Doc == nil {
			continue
		}
		// A command may have it in the file that everybody opens first.
		command := s.file.Name.Name == "main"
		if base := path.Base(s.name); base != "doc.go" && (!command || base != "main.go") {
			t.Errorf("%s has a package comment: move it to doc.go (%s)", s.name, why)
			continue
		}
		if packages[dir] {
			t.Errorf("%s has a second package comment: keep one (%s)", s.name, why)
		}
		packages[dir] = true
		begin := "Package " + s.file.Name.Name + " "
		if command {
			begin = "Command " + path.Base(dir) + " "
		}
		if text := s.file.Doc.Text(); !strings.HasPrefix(text, begin) {
			t.Errorf("%s begins with %q, want %q", s.name, strings.SplitAfterN(text, " ", 3)[0], begin)
		}
	}
	for dir, documented := range packages {
		if !documented {
			t.Errorf("%s has no doc.go with a package comment (%s)", dir, why)
		}
	}
}

func TestNoPackageActsWhenItIsImported(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function: an import must have no effect; let the composition root call what it needs",
					s.fset.Position(f.Pos()))
			}
		}
	}
}

func TestPackagesAreNamedAfterOneThing(t *testing.T) {
	vague := []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "base", "shared"}
	for _, s := range sources(t) {
		if slices.Contains(vague, s.file.Name.Name) {
			t.Errorf("%s is of package %s: a name that says nothing attracts everything; name it after what it is",
				s.name, s.file.Name.Name)
		}
	}
}

func TestALongFileSaysWhyItIsLong(t *testing.T) {
	const limit = 400
	for _, s := range sources(t) {
		if s.test() || s.lines <= limit || ast.IsGenerated(s.file) {
			continue
		}
		if !slices.ContainsFunc(s.file.Comments, func(c *ast.CommentGroup) bool {
			return strings.Contains(strings.Join(strings.Fields(c.Text()), " "), "is long because")
		}) {
			t.Errorf("%s has %d lines: a file of more than %d is hard to hold in mind; "+
				"split it, or say in a comment that it \"is long because\" of what", s.name, s.lines, limit)
		}
	}
}

func TestModulesAreNamedAfterTheRepositoryAndNeedTheSameGo(t *testing.T) {
	goLine := regexp.MustCompile(`(?m)^go (\S+)$`)
	var want string
	for dir, path := range map[string]string{".": module, "tools": module + "/tools"} {
		text, err := os.ReadFile(filepath.Join(root, dir, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(string(text), "\n"); first != "module "+path {
			t.Errorf("%s/go.mod begins with %q, want %q: what people import must not move", dir, first, "module "+path)
		}
		version := goLine.FindStringSubmatch(string(text))
		if version == nil {
			t.Fatalf("%s/go.mod names no Go version", dir)
		}
		if want == "" {
			want = version[1]
		}
		if version[1] != want {
			t.Errorf("the modules need Go %s and Go %s: one toolchain must do for all", version[1], want)
		}
	}
}
