// Package config is the sidecar's configuration: the document and its
// defaults, loading and checking it, watching its file, and keeping the last
// one that was good.
//
//	cfg, err := config.Load(config.Options{Flags: flags})
//	if invalid, ok := errors.AsType[*config.InvalidError](err); ok {
//		// invalid.Problems lists all that is wrong, each with its path and line.
//	}
//
// [Load] lays five layers over each other, each in a step of its own:
// defaults, file, environment, flags; then the result is checked. Loading is
// strict: what the sidecar would not understand is an error, and all errors
// are reported at once.
//
// The package says what is wanted. It opens no sockets, does not log, and does
// not know what a change means to a running sidecar: [Watch] reports that the
// file changed, and its caller loads, compares and acts. It is the only
// package that knows viper, which merges the layers and decodes them; viper's
// own watching and its reading of the environment are not used.
//
// schema.json and docs/configuration.md are generated from the types and their
// comments. A field's comment becomes its description, and the comment's last
// paragraph says what a change does while the sidecar runs.
package config

//go:generate go test -run ^TestGeneratedFilesAreCurrent$ -update .
