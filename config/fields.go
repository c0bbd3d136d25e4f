package config

import (
	"reflect"
	"strings"
)

// field is a key of an object of the document.
type field struct {
	name     string
	typ      reflect.Type
	nonEmpty bool // text that must not be empty where it is given
}

// fields are the keys of an object of the document, in their order.
type fields []field

// fieldsOf returns the keys of the object that type t describes.
func fieldsOf(t reflect.Type) fields {
	var all fields
	for f := range t.Fields() {
		all = append(all, field{
			name:     f.Tag.Get("json"),
			typ:      f.Type,
			nonEmpty: strings.Contains(f.Tag.Get("jsonschema"), "minLength=1"),
		})
	}
	return all
}

// find returns the key of exactly that name, or nil.
func (fs fields) find(name string) *field {
	for i := range fs {
		if fs[i].name == name {
			return &fs[i]
		}
	}
	return nil
}

// nearest returns the key that somebody who wrote name may have meant, or "".
func (fs fields) nearest(name string) string {
	const longest = 40 // nobody means a key by more
	if len(name) > longest {
		return ""
	}
	best, found := len(name)/3+1, ""
	for _, f := range fs {
		if d := distance(strings.ToLower(name), strings.ToLower(f.name)); d < best {
			best, found = d, f.name
		}
	}
	return found
}

// String lists the names.
func (fs fields) String() string {
	names := make([]string, len(fs))
	for i, f := range fs {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}

// distance counts the letters that must be inserted, left out, replaced or
// swapped with their neighbour to make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
