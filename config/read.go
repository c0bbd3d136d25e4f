package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFileSize is the largest configuration file that is read: a Kubernetes
// ConfigMap cannot be larger either.
const MaxFileSize = 1 << 20

// readFile checks the file's form against the types of Config, and returns
// what can be used of it. All that is wrong is reported and left out, so that
// the rest can be checked as well.
func (f *findings) readFile(data []byte) map[string]any {
	root := f.parse(data)
	if root == nil {
		return nil
	}
	f.origins[""] = placeOf(root)
	document, ok := f.read("", root, reflect.TypeFor[Config]()).(map[string]any)
	if !ok {
		return nil
	}
	f.require(document, "apiVersion", APIVersion)
	f.require(document, "kind", Kind)
	return document
}

// yamlError is how the YAML parser words a syntax error.
var yamlError = regexp.MustCompile(`(?s)^yaml: (?:line ([0-9]+): )?(.*)$`)

// parse returns the root of the only YAML document in data, or nil.
func (f *findings) parse(data []byte) *yaml.Node {
	const expected = "expected a document with apiVersion: " + APIVersion
	if len(data) > MaxFileSize {
		f.report("", "larger than %d bytes, %s", MaxFileSize, expected)
		return nil
	}
	var document, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && document.Content[0].ShortTag() == "!!null" {
		f.report("", "empty, %s", expected)
		return nil
	}
	if err == nil {
		err = decoder.Decode(&second)
		if err == nil {
			f.reportAt(placeOf(&second), "", "a second YAML document begins here, expected only one")
		}
		if err == nil || errors.Is(err, io.EOF) {
			return document.Content[0]
		}
	}
	words := yamlError.FindStringSubmatch(err.Error())
	if words == nil {
		words = []string{"", "", err.Error()}
	}
	line, _ := strconv.Atoi(words[1]) // 0 where the parser names none
	f.reportAt(place{line: line}, "", "not valid YAML: %s", words[2])
	return nil
}

// require reports a key at the top that is missing or has another value than
// the only one there is.
func (f *findings) require(document map[string]any, key, want string) {
	switch got, given := document[key]; {
	case !f.intact(key): // reported already
	case !given:
		f.report(key, "missing, expected %s", want)
	case got != want:
		f.report(key, "got %.300q, expected %s", got, want)
	}
}

// read returns the value of node n as type t wants it: a map, a list, text, a
// number or a truth value. It returns nil, having reported why, if n has
// another form.
func (f *findings) read(path string, n *yaml.Node, t reflect.Type) any {
	plain := n.Kind != yaml.AliasNode && n.Style&yaml.TaggedStyle == 0
	switch tag := n.ShortTag(); {
	case !plain:
		// Neither is needed in so small a document, and without aliases its
		// size bounds the work.
		f.report(path, "got a YAML alias or tag, which is not supported, expected %s", expected(t))
		return nil
	case tag == "!!null":
		f.report(path, "got nothing, expected %s; leave it out for the default", expected(t))
		return nil
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		return f.readObject(path, n, t)
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		return f.readList(path, n, t)
	case n.Kind == yaml.ScalarNode:
		if v := scalar(n, t); v != nil {
			return v
		}
		if tag != "!!str" && isText(t) && !hasUnit(t) {
			f.report(path, "got %s, expected %s (in quotes)", got(n), expected(t))
			return nil
		}
	}
	f.report(path, "got %s, expected %s", got(n), expected(t))
	return nil
}

// readObject is read for a mapping.
func (f *findings) readObject(path string, n *yaml.Node, t reflect.Type) map[string]any {
	object := make(map[string]any)
	fields := fieldsOf(t)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		field := fields.find(key.Value)
		switch first, twice := f.origins[at]; {
		case key.Kind != yaml.ScalarNode:
			f.reportAt(placeOf(key), path, "a key here is not plain text, expected one of %s", fields)
			continue
		case field == nil:
			f.reportUnknown(path, n, key, fields)
			continue
		case twice:
			f.reportAt(placeOf(key), at, "given twice, first on line %d", first.line)
			continue
		}
		f.origins[at] = placeOf(key)
		v := f.read(at, value, field.typ)
		if v == "" && field.nonEmpty {
			f.report(at, "empty, expected text; leave it out for the default")
			v = nil
		}
		if v != nil {
			object[key.Value] = v
		}
	}
	return object
}

// reportUnknown reports a key of the mapping n at path that no such object has.
func (f *findings) reportUnknown(path string, n, key *yaml.Node, fields fields) {
	at := join(path, key.Value)
	if meant := fields.nearest(key.Value); meant != "" {
		f.reportAt(placeOf(key), at, "unknown key, did you mean %s?", meant)
		if !hasKey(n, meant) { // else that one holds what the user meant
			f.spoilt[join(path, meant)] = true
		}
		return
	}
	f.reportAt(placeOf(key), at, "unknown key, expected one of %s", fields)
}

// hasKey reports whether the mapping n has a key of exactly that name.
func hasKey(n *yaml.Node, name string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; key.Kind == yaml.ScalarNode && key.Value == name {
			return true
		}
	}
	return false
}

// readList is read for a list. An element that was reported keeps its place,
// empty, so that the others keep their indexes.
func (f *findings) readList(path string, n *yaml.Node, t reflect.Type) any {
	if len(n.Content) == 0 {
		f.report(path, "got an empty list, expected at least one element")
		return nil
	}
	list := make([]any, len(n.Content))
	for i, element := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		f.origins[at] = placeOf(element)
		list[i] = f.read(at, element, t.Elem())
		switch {
		case list[i] != nil:
		case t.Elem().Kind() == reflect.Struct:
			list[i] = map[string]any{}
		default:
			list[i] = ""
		}
	}
	return list
}

// scalar returns what a scalar node means as type t, or nil if it has no
// meaning there. Text is returned as it stands, even where it has a form of
// its own, like a duration.
func scalar(n *yaml.Node, t reflect.Type) any {
	switch tag := n.ShortTag(); {
	case isText(t) && tag == "!!str" && wellFormed(n.Value, t):
		return n.Value
	case t.Kind() == reflect.Bool && tag == "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	case t.Kind() == reflect.Int && tag == "!!int":
		var i int
		if n.Decode(&i) == nil {
			return i
		}
	case t.Kind() == reflect.Float64 && (tag == "!!float" || tag == "!!int"):
		var x float64
		if n.Decode(&x) == nil && !math.IsNaN(x) && !math.IsInf(x, 0) {
			return x
		}
	}
	return nil
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// isText reports whether a value of type t is written as text.
func isText(t reflect.Type) bool {
	return t.Kind() == reflect.String || reflect.PointerTo(t).Implements(textUnmarshaler)
}

// hasUnit reports whether what a number lacks to be a value of type t is a unit
// rather than quotes.
func hasUnit(t reflect.Type) bool {
	return t == reflect.TypeFor[Duration]() || t == reflect.TypeFor[Slow]()
}

// wellFormed reports whether text has the form that type t demands.
func wellFormed(text string, t reflect.Type) bool {
	switch v := reflect.New(t).Interface().(type) {
	case choice:
		return slices.Contains(v.values(), text)
	case encoding.TextUnmarshaler:
		return v.UnmarshalText([]byte(text)) == nil
	}
	return true
}

// expected says in words what a value of type t looks like.
func expected(t reflect.Type) string {
	if c, ok := reflect.TypeAssert[choice](reflect.Zero(t)); ok {
		values := c.values()
		last := len(values) - 1
		return strings.Join(values[:last], ", ") + " or " + values[last]
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return `a duration such as "3s" or "1m30s"`
	case reflect.TypeFor[Slow]():
		return `p99, none or a positive duration such as "50ms"`
	case reflect.TypeFor[FileMode]():
		return `an octal file mode such as "0666"`
	}
	switch t.Kind() {
	case reflect.Struct:
		return "a mapping of " + fieldsOf(t).String()
	case reflect.Slice:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	}
	panic("BUG: the configuration has no values of type " + t.String())
}

// got says in words what stands in the file.
func got(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!str":
		return fmt.Sprintf("%.300q", n.Value)
	}
	return fmt.Sprintf("%.300s", n.Value)
}

func placeOf(n *yaml.Node) place { return place{line: n.Line, column: n.Column} }

var simpleKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)

// join returns the path of a key in the object at path. Keys that would make a
// path hard to read are quoted.
func join(path, key string) string {
	if !simpleKey.MatchString(key) {
		key = fmt.Sprintf("%.100q", key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
