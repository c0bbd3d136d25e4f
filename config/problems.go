package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxProblems is how many problems are spelt out. A file with more is not a
// configuration, and to log all of it helps nobody.
const maxProblems = 100

// InvalidError says all that is wrong with a configuration.
type InvalidError struct {
	// Source is the configuration file. Empty if there was none.
	Source string
	// Problems are sorted by where they stand in the file; those of flags and
	// environment variables come last. There is at least one.
	Problems []Problem
	// Salvaged is what could be understood, with defaults for the rest. It must
	// not be run. It tells where the last good configuration is
	// (Checkpoint.Path) and whether it may be used (Reload.OnInvalid).
	Salvaged Config

	foreign bool // not of the file alone; kept apart, as Problems may be cut short
}

// FromFile reports whether the file alone is to blame: there is one, and no
// value that a flag or an environment variable has set is part of any problem.
// Only then can another file help, such as the last good configuration.
func (e *InvalidError) FromFile() bool { return e.Source != "" && !e.foreign }

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Path is the key as the user wrote it, such as listeners[1].idleTimeout,
	// or the flag or environment variable that holds the value. Empty if the
	// file as a whole is meant.
	Path string
	// Line of the file. Zero if there is none to name.
	Line int
	// Message says what is wrong and what is expected.
	Message string
}

// Error returns one line for each problem, like those of a compiler.
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		var where string
		if p.Line > 0 {
			where = fmt.Sprintf("%s:%d: ", e.Source, p.Line)
		} else if p.Path == "" {
			where = e.Source + ": "
		}
		if p.Path != "" {
			where += p.Path + ": "
		}
		lines[i] = where + p.Message
	}
	return strings.Join(lines, "\n")
}

// place is where a value comes from: a position in the file, or the name of a
// flag or an environment variable.
type place struct {
	line, column int
	name         string
}

// findings collects problems while a configuration is loaded, and remembers
// where each value came from.
type findings struct {
	problems []Problem
	places   []place // of the problems
	origins  map[string]place
	spoilt   map[string]bool // paths that were reported and do not hold what the user meant
	foreign  bool            // a flag or an environment variable is part of a problem
}

func newFindings() *findings {
	return &findings{origins: make(map[string]place), spoilt: make(map[string]bool)}
}

// report adds a problem of the value at path. The rest of the loading will not
// complain of it again.
func (f *findings) report(path, format string, args ...any) {
	f.reportAt(f.origin(path), path, format, args...)
}

// reportAt is report for a problem whose place is not that of path's value.
func (f *findings) reportAt(at place, path, format string, args ...any) {
	f.spoilt[path] = true
	f.foreign = f.foreign || at.name != ""
	p := Problem{Path: path, Line: at.line, Message: fmt.Sprintf(format, args...)}
	if at.name != "" {
		p.Path = at.name
	}
	f.problems = append(f.problems, p)
	f.places = append(f.places, at)
}

// reportBetween is report for a problem that the value at path has with the one
// at other.
func (f *findings) reportBetween(path, other, format string, args ...any) {
	f.foreign = f.foreign || f.origin(other).name != ""
	f.report(path, format, args...)
}

// origin returns where the value at path was written, or else where the
// nearest thing around it was.
func (f *findings) origin(path string) place {
	for ; path != ""; path = parent(path) {
		if at, ok := f.origins[path]; ok {
			return at
		}
	}
	return f.origins[""]
}

// override notes that the value at path is not the file's but comes from the
// flag or the environment variable of that name.
func (f *findings) override(path, name string) {
	f.origins[path] = place{name: name}
	delete(f.spoilt, path)
}

// intact reports whether the value at path, as far as it was given, is what
// the user wrote, so that more can be said about it.
func (f *findings) intact(path string) bool {
	for ; path != ""; path = parent(path) {
		if f.spoilt[path] {
			return false
		}
	}
	return true
}

// err returns the problems as an error, or nil if there are none.
func (f *findings) err(source string, salvaged Config) error {
	if len(f.problems) == 0 {
		return nil
	}
	order := make([]int, len(f.problems))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		p, q := f.places[a], f.places[b]
		return cmp.Or(
			strings.Compare(p.name, q.name), // the file's have no name
			cmp.Compare(p.line, q.line),
			cmp.Compare(p.column, q.column),
		)
	})
	sorted := make([]Problem, 0, min(len(order), maxProblems+1))
	for _, i := range order[:min(len(order), maxProblems)] {
		sorted = append(sorted, f.problems[i])
	}
	if more := len(order) - maxProblems; more > 0 {
		sorted = append(sorted, Problem{Message: fmt.Sprintf("and %d more problems", more)})
	}
	return &InvalidError{Source: source, Problems: sorted, Salvaged: salvaged, foreign: f.foreign}
}

// parent returns the path of what holds the value at path.
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
