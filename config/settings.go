package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// envPrefix begins the name of each environment variable. There are others
// that begin so and are none of ours: Kubernetes makes FOO_SIDECAR_PORT and
// its like for a Service that is called foo-sidecar.
const envPrefix = "FOO_SIDECAR_"

// setting is a value of the document that a flag or an environment variable
// can set.
type setting struct {
	path      string // of the value in the document
	key       string // by which viper knows it
	typ       reflect.Type
	variables []string // the first that is set counts
	flag      string   // without dashes; empty if there is none
}

// shortcut is a flag, and an environment variable of the same name, for a
// value that a first run needs.
type shortcut struct {
	flag, path, value, usage string
}

// Two of these values are inside lists. viper cannot address a list's element,
// so it knows them by the shortcut's name.
const (
	firstListener = "listeners[0].address"
	firstUpstream = "upstreams[0].addresses[0]"
)

func shortcuts() []shortcut {
	d := Default()
	return []shortcut{
		{"listen", firstListener, d.Listeners[0].Address,
			"where clients connect: host:port or unix:/path"},
		{"forward", firstUpstream, d.Upstreams[0].Addresses[0],
			"where their requests go: host:port or unix:/path"},
		{"http", "admin.address", d.Admin.Address,
			"where probes, statistics and metrics are served: host:port or unix:/path"},
		{"recovery-path", "checkpoint.path", d.Checkpoint.Path,
			"file that statistics are saved to; empty: none"},
	}
}

// BindFlags defines the flags of the configuration, for [Options].Flags.
func BindFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "configuration file; it is watched for changes")
	for _, s := range shortcuts() {
		flags.String(s.flag, s.value, s.usage)
	}
}

// Variables returns the names of the environment variables that set the value at
// a path of the document, such as admin.address. The first that is not empty
// counts.
func Variables(path string) []string {
	for _, s := range settings() {
		if s.path == path {
			return s.variables
		}
	}
	return nil
}

// settings returns all values that a flag or a variable can set: each scalar
// outside lists, and what has a shortcut. What says which format a file has is
// not among them.
func settings() []setting {
	all := scalars("", reflect.TypeFor[Config]())
	for _, s := range shortcuts() {
		i := slices.IndexFunc(all, func(known setting) bool { return known.path == s.path })
		if i < 0 {
			i = len(all)
			all = append(all, setting{path: s.path, key: s.flag, typ: reflect.TypeFor[string]()})
		}
		all[i].flag = s.flag
		all[i].variables = append(all[i].variables, variable(s.flag))
	}
	return all
}

// scalars returns the scalars outside lists of the object at path.
func scalars(path string, t reflect.Type) []setting {
	var all []setting
	for _, f := range fieldsOf(t) {
		at := join(path, f.name)
		switch {
		case f.typ.Kind() == reflect.Struct:
			all = append(all, scalars(at, f.typ)...)
		case f.typ.Kind() != reflect.Slice && at != "apiVersion" && at != "kind":
			all = append(all, setting{path: at, key: at, typ: f.typ, variables: []string{variable(at)}})
		}
	}
	return all
}

// variable returns the name of the environment variable for a path or a flag.
func variable(name string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
}
