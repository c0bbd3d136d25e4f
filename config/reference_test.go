package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"

	"github.com/foo-protocol/foo-sidecar/internal/golden"
)

func TestGeneratedFilesAreCurrent(t *testing.T) {
	schema := generateSchema(t)
	document, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]byte{
		"schema.json": append(document, '\n'),
		filepath.Join("..", "docs", "configuration.md"): generateReference(t, schema),
	} {
		golden.Compare(t, file, string(want), "run go generate ./config")
	}
}

// generateSchema makes the JSON Schema of the document from the types, their
// comments and the defaults.
func generateSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	r := &jsonschema.Reflector{
		Anonymous:                  true,
		DoNotReference:             true,
		RequiredFromJSONSchemaTags: true,
		Mapper:                     scalarSchema,
	}
	if err := r.AddGoComments(reflect.TypeFor[Config]().PkgPath(), ".", jsonschema.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	for name, comment := range r.CommentMap {
		r.CommentMap[name] = unwrap(comment)
	}
	schema := r.Reflect(Config{})
	schema.Title = "Configuration of foo-sidecar"
	schema.Description = ""
	addDefaults(schema, jsonOf(t, Default()))
	return schema
}

// scalarSchema describes the types that are written as text.
func scalarSchema(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: durationPattern}
	case reflect.TypeFor[Slow]():
		return &jsonschema.Schema{Type: "string", Pattern: slowPattern}
	case reflect.TypeFor[FileMode]():
		return &jsonschema.Schema{Type: "string", Pattern: fileModePattern}
	}
	c, ok := reflect.TypeAssert[choice](reflect.Zero(t))
	if !ok {
		return nil
	}
	s := &jsonschema.Schema{Type: "string"}
	for _, v := range c.values() {
		s.Enum = append(s.Enum, v)
	}
	return s
}

// unwrap makes one line of each paragraph of a comment.
func unwrap(comment string) string {
	paragraphs := strings.Split(comment, "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.Join(strings.Fields(p), " ")
	}
	return strings.Join(paragraphs, "\n\n")
}

// addDefaults notes the default of each scalar, and of each list of scalars.
func addDefaults(s *jsonschema.Schema, value any) {
	switch v := value.(type) {
	case map[string]any:
		for p := s.Properties.Oldest(); p != nil; p = p.Next() {
			addDefaults(p.Value, v[p.Key])
		}
	case []any:
		if s.Items.Type == "object" {
			addDefaults(s.Items, v[0])
			return
		}
		s.Default = v
	default:
		s.Default = v
	}
}

// jsonOf returns v as a JSON decoder sees it.
func jsonOf(t *testing.T, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	return document
}

// key is a key of the document as the reference shows it.
type key struct {
	path   string
	schema *jsonschema.Schema
}

// keysOf returns the keys of an object that are values, and those that are
// objects or lists of objects.
func keysOf(path string, s *jsonschema.Schema) (values, objects []key) {
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		k := key{strings.TrimPrefix(path+"."+p.Key, "."), p.Value}
		switch {
		case k.schema.Type == "object":
			objects = append(objects, k)
		case k.schema.Type == "array" && k.schema.Items.Type == "object":
			k.path += "[]"
			objects = append(objects, k)
		default:
			values = append(values, k)
		}
	}
	return values, objects
}

// leaves returns all keys that are values, at any depth.
func leaves(path string, s *jsonschema.Schema) []key {
	all, objects := keysOf(path, s)
	for _, o := range objects {
		all = append(all, leaves(o.path, element(o.schema))...)
	}
	return all
}

// element returns the schema of an object, or of the objects in a list.
func element(s *jsonschema.Schema) *jsonschema.Schema {
	if s.Items != nil {
		return s.Items
	}
	return s
}

const referenceHead = `# Configuration reference

<!-- Generated from the types in config by "go generate ./config"; do not edit. -->

foo-sidecar is configured by one YAML (or JSON) document, which ` + "`--config`" + ` names.
[config/sidecar.yaml](../config/sidecar.yaml) is the whole document with its defaults and advice for each key;
[config/schema.json](../config/schema.json) is its JSON Schema, for editors. A file need only hold ` + "`apiVersion`, `kind`" + `
and what differs from the defaults. Without a file the defaults apply.

- **Precedence**: flag, environment variable, file, default. A variable that is empty counts as not set.
- **Strict**: an unknown key, a wrong type, an empty value, a key given twice, a reference to nothing or an address used
  twice is an error. All errors are reported at once, each with its line, its path and what is expected, such as
  ` + "`sidecar.yaml:7: listeners[0].idelTimeout: unknown key, did you mean idleTimeout?`" + ` Keys are case-sensitive. YAML
  aliases and tags are not supported. ` + "`sidecar check FILE`" + ` tells beforehand.
- **Live**: every key can be changed while the sidecar runs, by changing the file or with SIGHUP; the last column says what
  a change does. A file that is not valid changes nothing. Flags and variables stay what they were at start.
- **Durations** have a unit: ` + "`250ms`, `3s`, `1m30s`" + `.
- **Addresses** are ` + "`host:port`, `[IPv6]:port` or `unix:/path`" + `.
`

// generateReference makes docs/configuration.md from the schema.
func generateReference(t *testing.T, schema *jsonschema.Schema) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(referenceHead)
	writeObject(t, &b, "", schema)

	b.WriteString("\n## Flags and environment variables\n\nKeys of listeners and upstreams have none, " +
		"except that a single listener's and a single upstream's address can be set.\n" +
		"Of two variables for one key, the first one that is set counts. Other variables that begin with\n" +
		"`FOO_SIDECAR_` are ignored: Kubernetes makes some for a Service that is called foo-sidecar.\n\n" +
		"| Key | Environment variable | Flag |\n| --- | --- | --- |\n")
	for _, s := range settings() {
		flag := ""
		if s.flag != "" {
			flag = "`--" + s.flag + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", s.path, strings.Join(s.variables, "`, `"), flag)
	}
	return b.Bytes()
}

// writeObject writes the keys of an object as a table, then its objects.
func writeObject(t *testing.T, b *bytes.Buffer, path string, s *jsonschema.Schema) {
	t.Helper()
	values, objects := keysOf(path, element(s))
	if path == "" {
		b.WriteString("\n## The document\n")
	} else {
		description, change, _ := strings.Cut(s.Description, "\n\nOn change: ")
		fmt.Fprintf(b, "\n## %s\n\n%s\n", path, description)
		if change != "" {
			fmt.Fprintf(b, "\nOn change: %s\n", change)
		}
	}
	if len(values) > 0 {
		b.WriteString("\n| Key | Type | Default | What it is | On change |\n| --- | --- | --- | --- | --- |\n")
	}
	for _, k := range values {
		description, change, found := strings.Cut(k.schema.Description, "\n\nOn change: ")
		if description == "" || !found && path != "" {
			t.Errorf("the comment of %s must say what it is and end in a paragraph \"On change: ...\"", k.path)
		}
		value, err := json.Marshal(k.schema.Default)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(b, "| `%s` | %s | `%s` | %s | %s |\n",
			strings.TrimPrefix(k.path, path+"."), typeName(k.schema), value, description, capitalise(change))
	}
	for _, o := range objects {
		writeObject(t, b, o.path, o.schema)
	}
}

// typeName says in words what a value looks like.
func typeName(s *jsonschema.Schema) string {
	switch {
	case s.Pattern == durationPattern:
		return "duration"
	case s.Pattern == slowPattern:
		return "`p99`, `none` or duration"
	case s.Pattern == fileModePattern:
		return "octal mode in quotes"
	case len(s.Enum) > 0:
		names := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			names[i] = fmt.Sprintf("`%v`", v)
		}
		return strings.Join(names, ", ")
	case s.Type == "array":
		return "list of " + typeName(s.Items) + "s"
	}
	return s.Type
}

func capitalise(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
