package main

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// newIndex is the image as a whole: it names the one for each platform.
func newIndex(o options, images []v1.Image) v1.ImageIndex {
	adds := make([]mutate.IndexAddendum, len(images))
	for i, img := range images {
		adds[i] = mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &o.platforms[i]}}
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), adds...)
}

// writeOCI writes an archive that podman, skopeo, crane, kind, containerd and
// newer versions of Docker read.
func writeOCI(o options, images []v1.Image) error {
	dir, err := os.MkdirTemp("", "foo-sidecar-layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // A leftover in the temporary directory spoils nothing.
	// The layout's own index names the image; readers differ in which of the
	// two annotations they take the name from.
	named := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{
		Add: newIndex(o, images),
		Descriptor: v1.Descriptor{Annotations: map[string]string{
			"org.opencontainers.image.ref.name": o.tag.TagStr(),
			"io.containerd.image.name":          o.tag.Name(),
		}},
	})
	if _, err := layout.Write(dir, named); err != nil {
		return err
	}
	return replace(o.output, func(w io.Writer) error { return archive(w, dir, o.created) })
}

// writeDocker writes a tarball for "docker load", which holds one image.
func writeDocker(o options, images []v1.Image) error {
	return replace(o.output, func(w io.Writer) error { return tarball.Write(o.tag, images[0], w) })
}

// archive writes the files below dir as a tar archive that depends on nothing
// but their names and contents.
func archive(w io.Writer, dir string, modified time.Time) error {
	out := tar.NewWriter(w)
	root := os.DirFS(dir)
	// WalkDir goes in lexical order.
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		if err := out.WriteHeader(&tar.Header{
			Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content)), ModTime: modified,
		}); err != nil {
			return err
		}
		_, err = out.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	return out.Close()
}

// replace writes a file that is there in full or not at all.
func replace(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("put it in place: %w", err)
	}
	return nil
}
