package config

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2/maybe"
)

// lastGoodName is the last good configuration's file.
const lastGoodName = "last-good.yaml"

const lastGoodHeader = `# The last configuration that foo-sidecar ran with. It starts with this one if it
# is started again with an invalid file. Written by foo-sidecar itself: changes
# made here are lost.
`

// LastGoodPath returns where the last good configuration is kept: beside the
// checkpoint. It is empty where there is no checkpoint.
func LastGoodPath(checkpointPath string) string {
	if checkpointPath == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(checkpointPath), lastGoodName)
}

// SaveLastGood keeps the effective configuration in a file that only the
// sidecar's user can read. It replaces the file as a whole, so that a crash
// leaves the old one or the new one (on Windows that cannot be had).
func SaveLastGood(path string, c Config) error {
	document, err := Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("save last good configuration: %w", err)
	}
	document = append([]byte(lastGoodHeader), document...)
	if err := maybe.WriteFile(path, document, 0o600); err != nil {
		return fmt.Errorf("save last good configuration: %w", err)
	}
	return nil
}

// LoadLastGood is [Load] with the configuration that SaveLastGood kept in place
// of o.File. Flags and environment are in it as they were then; those of today
// win over it.
func LoadLastGood(path string, o Options) (Config, error) {
	data, err := readLimited(path)
	if err != nil {
		return Config{}, fmt.Errorf("read last good configuration: %w", err)
	}
	return load(path, data, o)
}
