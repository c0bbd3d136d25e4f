package config

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// Options says what [Load] loads.
type Options struct {
	// File is the configuration file, YAML (and so JSON) whatever its name.
	// Empty: the one that the flag --config names, or else none.
	File string
	// Flags are those of [BindFlags], parsed. Only flags that were set count.
	// Nil: none.
	Flags *pflag.FlagSet
	// Env looks up an environment variable. One that is empty counts as not
	// set. Nil means os.LookupEnv.
	Env func(name string) (string, bool)
}

// Path returns the file that these options name, or "".
func (o Options) Path() string {
	if o.File == "" && o.Flags != nil {
		if f := o.Flags.Lookup("config"); f != nil {
			return f.Value.String()
		}
	}
	return o.File
}

// Load returns the configuration that defaults, file, environment and flags
// make, each laid over the one before. The error is an [*InvalidError] unless
// the file could not be read at all.
func Load(o Options) (Config, error) {
	source := o.Path()
	if source == "" {
		return load("", nil, o)
	}
	data, err := readLimited(source)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return load(source, data, o)
}

// readLimited returns the content of a file, cut off beyond MaxFileSize by a
// byte, so that it can be seen to be too large. It never waits: to open a pipe
// would, until somebody writes to it, so only regular files are opened.
func readLimited(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file, expected one or a link to one", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	return io.ReadAll(io.LimitReader(f, MaxFileSize+1))
}

// load is Load for a file that was read. Without a source there is no file.
func load(source string, data []byte, o Options) (Config, error) {
	f := newFindings()
	v := viper.New()

	// 1. Defaults are what the values are decoded over, in decode.
	// 2. The file.
	if source != "" {
		if err := v.MergeConfigMap(f.readFile(data)); err != nil {
			return Config{}, fmt.Errorf("merge configuration file: %w", err)
		}
	}
	// 3. The environment, merged by us: viper knows only the real one.
	if err := v.MergeConfigMap(f.readEnvironment(o.Env)); err != nil {
		return Config{}, fmt.Errorf("merge environment: %w", err)
	}
	// 4. Flags.
	if err := f.bindFlags(v, o.Flags); err != nil {
		return Config{}, err
	}

	c, err := decode(v)
	if err != nil {
		return Config{}, err
	}
	c.complete()
	f.applyShortcuts(v, &c)
	f.validate(c)
	if err := f.err(source, c); err != nil {
		return Config{}, err
	}
	return c, nil
}

// readEnvironment returns what environment variables set, as a document.
func (f *findings) readEnvironment(lookup func(string) (string, bool)) map[string]any {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	document := make(map[string]any)
	for _, s := range settings() {
		for _, name := range s.variables {
			text, _ := lookup(name)
			if text == "" {
				continue
			}
			f.override(s.path, name)
			n := &yaml.Node{Kind: yaml.ScalarNode, Value: text}
			if isText(s.typ) {
				n.Tag = "!!str" // rather than whatever it looks like
			}
			if v := f.read(s.path, n, s.typ); v != nil {
				insert(document, s.key, v)
			}
			break
		}
	}
	return document
}

// insert puts a value into a document at a dotted key.
func insert(document map[string]any, key string, value any) {
	for {
		name, rest, nested := strings.Cut(key, ".")
		if !nested {
			document[name] = value
			return
		}
		inner, ok := document[name].(map[string]any)
		if !ok {
			inner = make(map[string]any)
			document[name] = inner
		}
		document, key = inner, rest
	}
}

// bindFlags lets the flags that were set win over all else.
func (f *findings) bindFlags(v *viper.Viper, flags *pflag.FlagSet) error {
	if flags == nil {
		return nil
	}
	for _, s := range settings() {
		flag := flags.Lookup(s.flag)
		if flag == nil || !flag.Changed {
			continue
		}
		if err := v.BindPFlag(s.key, flag); err != nil {
			return fmt.Errorf("bind flag --%s: %w", s.flag, err)
		}
		f.override(s.path, "--"+s.flag)
	}
	return nil
}

// decode lays what viper has over the defaults.
func decode(v *viper.Viper) (Config, error) {
	c := defaults()
	err := v.Unmarshal(&c, func(d *mapstructure.DecoderConfig) {
		d.TagName = "json"
		d.WeaklyTypedInput = false
		d.DecodeHook = mapstructure.ComposeDecodeHookFunc(
			elementDefaults,
			mapstructure.TextUnmarshallerHookFunc(),
		)
	})
	if err != nil {
		return Config{}, fmt.Errorf("decode configuration: %w", err)
	}
	return c, nil
}

// elementDefaults is a decode hook that makes each element of a list start
// from the defaults of its kind.
func elementDefaults(from, to reflect.Value) (any, error) {
	switch to.Type() {
	case reflect.TypeFor[Listener]():
		to.Set(reflect.ValueOf(defaultListener()))
	case reflect.TypeFor[Upstream]():
		to.Set(reflect.ValueOf(defaultUpstream()))
	}
	return from.Interface(), nil
}

// applyShortcuts puts the values that viper cannot address where they belong.
func (f *findings) applyShortcuts(v *viper.Viper, c *Config) {
	for _, s := range settings() {
		if s.key == s.path || !v.IsSet(s.key) {
			continue
		}
		switch {
		case s.path == firstListener && len(c.Listeners) > 1:
			f.report(s.path, "the file has %d listeners, expected one; set their addresses in the file", len(c.Listeners))
		case s.path == firstUpstream && len(c.Upstreams) > 1:
			f.report(s.path, "the file has %d upstreams, expected one; set their addresses in the file", len(c.Upstreams))
		case s.path == firstListener:
			c.Listeners[0].Address = v.GetString(s.key)
		case s.path == firstUpstream:
			c.Upstreams[0].Addresses = []string{v.GetString(s.key)}
		}
	}
}
