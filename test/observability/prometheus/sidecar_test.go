//go:build unix

package prometheus

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/foo-protocol/foo-sidecar/internal/programs/programstest"
)

// root is the directory of the main module.
var root = filepath.Join("..", "..", "..")

// built are the programs under test.
var built programstest.Programs

func TestMain(m *testing.M) { os.Exit(programstest.Main(m, &built)) }

// debian returns the path of a program of Debian's package prometheus.
func debian(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; install the Debian package prometheus: apt-get install prometheus", err)
	}
	return path
}

// collector returns the URL of something that takes all traces.
func collector(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// sidecar is a sidecar that runs, and the pod that it is said to be in.
type sidecar struct {
	*programstest.Sidecar
	namespace, pod string
}

// newSidecar starts a sidecar in front of a Foo server with those flags, and waits
// until it serves.
func newSidecar(t *testing.T, pod, traces string, server ...string) *sidecar {
	t.Helper()
	config := programstest.Configuration(t, "telemetry: {otlp: {endpoint: \""+traces+"\", protocol: http/protobuf}}")
	return &sidecar{built.Sidecar(t, built.Serve(t, server...).Address, "--config", config), "shop", pod}
}
