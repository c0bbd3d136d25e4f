package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const module = "github.com/foo-protocol/foo-sidecar"

// nonroot is the user that the sidecar runs as, and its group. It is the
// number that distroless images use, which policies tend to know.
const nonroot = 65532

// labels are those that do not depend on what is built.
var labels = map[string]string{
	"org.opencontainers.image.title":       "foo-sidecar",
	"org.opencontainers.image.description": "Sidecar proxy for the Foo protocol: statistics, resilience, recovery",
	"org.opencontainers.image.source":      "https://" + module,
	"org.opencontainers.image.licenses":    "Apache-2.0",
}

// runtimeConfig is how a container of the image runs. Relative paths, such as
// a recovery path, are below /data, where a volume belongs.
func runtimeConfig(o options) v1.Config {
	all := maps.Clone(labels)
	all["org.opencontainers.image.version"] = o.version
	all["org.opencontainers.image.created"] = o.created.Format(time.RFC3339)
	if o.revision != "" {
		all["org.opencontainers.image.revision"] = o.revision
	}
	return v1.Config{
		User:       fmt.Sprintf("%d:%d", nonroot, nonroot),
		WorkingDir: "/data",
		Entrypoint: []string{"/sidecar"},
		// No settings: a variable would win over the user's configuration file.
		Env:          []string{"PATH=/bin:/"},
		ExposedPorts: map[string]struct{}{"8002/tcp": {}, "8088/tcp": {}},
		StopSignal:   "SIGTERM",
		Labels:       all,
	}
}

// An entry is a file, or with a name that ends with a slash a directory, or
// with a link a symbolic link.
type entry struct {
	name    string
	mode    int64
	owner   int
	content []byte
	link    string
}

// filesystem is all that the image holds. There is no shell and no library;
// kill is the sidecar itself, which looks at the name that it is called by. The
// test driver comes along so that a demonstration needs no second image.
func filesystem(sidecar, foo []byte) []entry {
	return []entry{
		{name: "bin/", mode: 0o755},
		{name: "bin/kill", mode: 0o777, link: "../sidecar"},
		{name: "data/", mode: 0o755, owner: nonroot},
		{name: "etc/", mode: 0o755},
		{name: "etc/group", mode: 0o644, content: fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", nonroot)},
		{name: "etc/passwd", mode: 0o644, content: fmt.Appendf(nil,
			"root:x:0:0:root:/:/nonexistent\nnonroot:x:%[1]d:%[1]d:nonroot:/data:/nonexistent\n", nonroot)},
		{name: "foo", mode: 0o755, content: foo},
		{name: "sidecar", mode: 0o755, content: sidecar},
		{name: "tmp/", mode: 0o1777},
	}
}

func buildImage(ctx context.Context, o options, p v1.Platform) (v1.Image, error) {
	dir, err := os.MkdirTemp("", "foo-sidecar-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // A leftover in the temporary directory spoils nothing.
	sidecar, err := compile(ctx, o, p, dir, "sidecar")
	if err != nil {
		return nil, err
	}
	foo, err := compile(ctx, o, p, dir, "foo")
	if err != nil {
		return nil, err
	}
	content, err := pack(filesystem(sidecar, foo), o.created)
	if err != nil {
		return nil, err
	}
	return newImage(o, p, content)
}

// linkerFlags drop what only a debugger needs and stamp the version.
func linkerFlags(version string) string {
	return "-s -w -X " + module + "/internal/cli.version=" + version
}

// compile builds a command as a static binary and returns its content.
func compile(ctx context.Context, o options, p v1.Platform, dir, command string) ([]byte, error) {
	file := filepath.Join(dir, command)
	cmd := exec.CommandContext(ctx, "go", "build",
		"-trimpath", "-buildvcs=false", "-ldflags", linkerFlags(o.version), "-o", file, "./cmd/"+command)
	cmd.Dir = o.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Architecture, "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build ./cmd/%s: %w\n%s", command, err, out)
	}
	return os.ReadFile(file)
}

// pack makes a tar archive of entries, all of them with the same time.
func pack(entries []entry, modified time.Time) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{
			Name:    e.name,
			Mode:    e.mode,
			Uid:     e.owner,
			Gid:     e.owner,
			Size:    int64(len(e.content)),
			ModTime: modified,
		}
		switch {
		case e.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		default:
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// newImage makes an image of one layer with the given content.
func newImage(o options, p v1.Platform, content []byte) (v1.Image, error) {
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.DefaultCompression),
		tarball.WithCompressedCaching,
	)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.Append(img, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: o.created}, CreatedBy: "tools/image"},
	}); err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant = p.OS, p.Architecture, p.Variant
	file.Created = v1.Time{Time: o.created}
	file.Config = runtimeConfig(o)
	return mutate.ConfigFile(img, file)
}
