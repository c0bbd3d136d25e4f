package config

import _ "embed"

// Schema is the JSON Schema of the document, for editors and other tools.
//
//go:embed schema.json
var Schema string
