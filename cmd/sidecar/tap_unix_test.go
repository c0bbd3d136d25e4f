//go:build unix

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/foo-protocol/foo-sidecar/internal/cli"
)

func TestTapEndsWhenNobodyReadsIt(t *testing.T) {
	// A heartbeat is enough to notice, there need not be a pair.
	address := adminServer(t, map[string]string{"/tap?rate=100": "\n"})
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	for _, tc := range []struct {
		closed bool
		want   string
	}{{false, "the sidecar has ended the stream"}, {true, "nobody reads standard output any more"}} {
		if tc.closed {
			reader.Close()
		}
		var stderr bytes.Buffer
		code := run([]string{"sidecar", "tap", address}, writer, &stderr)
		if code != cli.CodeFailure || !strings.Contains(stderr.String(), tc.want) {
			t.Errorf("closed: %t: got exit code %d and %q, want %q", tc.closed, code, &stderr, tc.want)
		}
	}
}
