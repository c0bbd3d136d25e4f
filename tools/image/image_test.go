package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const (
	testVersion = "v9.8.7-test"
	root        = "../.."
	// largest is what a pull of the image may cost.
	largest = 30e6
)

// makeImage runs the command and returns the file that it wrote.
func makeImage(t *testing.T, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dist", "image.tar")
	args = append([]string{"-root", root, "-output", file, "-version", testVersion}, args...)
	var stdout, stderr bytes.Buffer
	if code := run(args, &stdout, &stderr); code != 0 {
		t.Fatalf("image %s: exit code %d\n%s", strings.Join(args, " "), code, &stderr)
	}
	t.Logf("%s", &stdout)
	return file
}

// readArchive reads an OCI archive back, and returns its images by platform.
func readArchive(t *testing.T, file string) map[string]v1.Image {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := t.TempDir()
	unpack(t, f, dir)
	outer, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatalf("read the layout: %v", err)
	}
	top, err := outer.IndexManifest()
	if err != nil || len(top.Manifests) != 1 {
		t.Fatalf("the layout names %v (%v), want one index", top, err)
	}
	if got := top.Manifests[0].Annotations["org.opencontainers.image.ref.name"]; got != "dev" {
		t.Errorf("the layout's index is called %q, want dev", got)
	}
	index, err := outer.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatalf("read the index: %v", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatalf("read the index: %v", err)
	}
	images := map[string]v1.Image{}
	for _, d := range manifest.Manifests {
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatalf("read the image for %s: %v", d.Platform, err)
		}
		images[d.Platform.String()] = img
	}
	return images
}

// unpack writes the content of a tar archive below dir and returns its headers.
func unpack(t *testing.T, r io.Reader, dir string) map[string]*tar.Header {
	t.Helper()
	headers := map[string]*tar.Header{}
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return headers
		}
		if err != nil {
			t.Fatal(err)
		}
		headers[h.Name] = h
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		err = os.MkdirAll(filepath.Dir(name), 0o755)
		if err == nil {
			switch h.Typeflag {
			case tar.TypeDir:
				err = os.MkdirAll(name, 0o755)
			case tar.TypeSymlink:
				err = os.Symlink(h.Linkname, name)
			default:
				var content []byte
				if content, err = io.ReadAll(in); err == nil {
					err = os.WriteFile(name, content, h.FileInfo().Mode())
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestImage(t *testing.T) {
	file := makeImage(t)
	images := readArchive(t, file)
	if got, want := slices.Sorted(maps.Keys(images)), []string{"linux/amd64", "linux/arm64"}; !slices.Equal(got, want) {
		t.Fatalf("the archive is for %q, want %q", got, want)
	}
	for platform, img := range images {
		t.Run("is complete for "+platform, func(t *testing.T) { checkImage(t, img, platform) })
	}
	t.Run("is the same when built again", func(t *testing.T) {
		if first, second := sum(t, file), sum(t, makeImage(t)); first != second {
			t.Errorf("two builds differ: %s and %s", first, second)
		}
	})
	img, ok := images["linux/"+runtime.GOARCH]
	if runtime.GOOS != "linux" || !ok {
		t.Logf("the binaries are not run: they are for Linux, and this is %s/%s", runtime.GOOS, runtime.GOARCH)
		return
	}
	t.Run("runs", func(t *testing.T) { checkBinaries(t, img) })
}

func sum(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(content))
}

// extract unpacks the only layer of an image and returns its headers.
func extract(t *testing.T, img v1.Image, dir string) map[string]*tar.Header {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("the image has %d layers (%v), want 1", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	return unpack(t, content, dir)
}

func checkImage(t *testing.T, img v1.Image, platform string) {
	t.Helper()
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := file.OS + "/" + file.Architecture; got != platform {
		t.Errorf("the image says that it is for %s, want %s", got, platform)
	}
	c := file.Config
	for what, values := range map[string][2]string{
		"user":        {c.User, "65532:65532"},
		"entrypoint":  {strings.Join(c.Entrypoint, " "), "/sidecar"},
		"command":     {strings.Join(c.Cmd, " "), ""},
		"directory":   {c.WorkingDir, "/data"},
		"environment": {strings.Join(c.Env, " "), "PATH=/bin:/"},
		"stop signal": {c.StopSignal, "SIGTERM"},
		"ports":       {strings.Join(slices.Sorted(maps.Keys(c.ExposedPorts)), " "), "8002/tcp 8088/tcp"},
		"version":     {c.Labels["org.opencontainers.image.version"], testVersion},
		"license":     {c.Labels["org.opencontainers.image.licenses"], "Apache-2.0"},
	} {
		if got, want := values[0], values[1]; got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}

	headers := extract(t, img, t.TempDir())
	for name, want := range map[string]struct {
		mode  int64
		owner int
	}{
		"sidecar":    {0o755, 0},
		"foo":        {0o755, 0},
		"data/":      {0o755, nonroot},
		"tmp/":       {0o1777, 0},
		"etc/passwd": {0o644, 0},
	} {
		h := headers[name]
		if h == nil {
			t.Errorf("the image has no %s", name)
			continue
		}
		if h.Mode != want.mode || h.Uid != want.owner || h.Gid != want.owner {
			t.Errorf("%s: got mode %o of %d:%d, want %o of %d:%[5]d", name, h.Mode, h.Uid, h.Gid, want.mode, want.owner)
		}
	}
	if kill := headers["bin/kill"]; kill == nil || kill.Linkname != "../sidecar" {
		t.Errorf("bin/kill is %+v, want a link to ../sidecar", kill)
	}

	size, err := img.Size()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range manifest.Layers {
		size += l.Size
	}
	if size > largest {
		t.Errorf("the image is %s, want at most %s", megabytes(size), megabytes(largest))
	}
}

// checkBinaries runs what the image holds, which is for this system.
func checkBinaries(t *testing.T, img v1.Image) {
	t.Helper()
	dir := t.TempDir()
	extract(t, img, dir)
	for _, tc := range []struct {
		command []string
		want    string
	}{
		{[]string{"sidecar", "version"}, testVersion},
		{[]string{"foo", "version"}, testVersion},
		{[]string{"bin/kill", "-l"}, "USR2"},
		{[]string{"bin/kill", "-0", strconv.Itoa(os.Getpid())}, ""},
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, tc.command[0]), tc.command[1:]...)
		cmd.Env = []string{} // The image has none but its own.
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), tc.want) {
			t.Errorf("%s: got %q (%v), want %q in it", strings.Join(tc.command, " "), out, err, tc.want)
		}
	}
}

func TestDockerFormatHoldsTheImageOfOnePlatform(t *testing.T) {
	tag, err := name.NewTag("example.com/foo-sidecar:v1")
	if err != nil {
		t.Fatal(err)
	}
	o := options{version: testVersion, tag: tag, output: filepath.Join(t.TempDir(), "image.tar")}
	content, err := pack(filesystem([]byte("a sidecar"), []byte("a foo")), o.created)
	if err != nil {
		t.Fatal(err)
	}
	img, err := newImage(o, v1.Platform{OS: "linux", Architecture: "arm64"}, content)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeDocker(o, []v1.Image{img}); err != nil {
		t.Fatal(err)
	}
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(o.output) })
	if err != nil || len(manifest) != 1 || !slices.Equal(manifest[0].RepoTags, []string{tag.Name()}) {
		t.Fatalf("the tarball holds %+v (%v), want one image called %s", manifest, err, tag)
	}
	again, err := tarball.ImageFromPath(o.output, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkImage(t, again, "linux/arm64")
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for want, args := range map[string][]string{
		`"windows/amd64": want linux/ARCHITECTURE`:        {"-platforms", "windows/amd64"},
		`"linux": want linux/ARCHITECTURE`:                {"-platforms", "linux"},
		"-format docker holds one platform":               {"-format", "docker"},
		`-format: "zip": want oci or docker`:              {"-format", "zip"},
		"-tag: ":                                          {"-tag", "Not A Name"},
		`unexpected argument "x": everything`:             {"x"},
		"flag provided but not defined: -nonesuch":        {"-nonesuch"},
		`go build ./cmd/sidecar: chdir /nonesuch/no: no `: {"-root", "/nonesuch/no", "-platforms", "linux/amd64"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(args, &stdout, &stderr)
		if code == 0 || !strings.Contains(stderr.String(), want) {
			t.Errorf("image %q: got exit code %d and %q, want %q", args, code, &stderr, want)
		}
	}
}

func TestTheTimeOfCreationIsSourceDateEpoch(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	got, err := creation(t.Context(), root)
	if want := "2023-11-14T22:13:20Z"; err != nil || got.Format("2006-01-02T15:04:05Z07:00") != want {
		t.Errorf("got %v, %v; want %s", got, err, want)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, err := creation(t.Context(), root); err == nil {
		t.Error("a SOURCE_DATE_EPOCH that is no number was accepted")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "")
	if got, err := creation(t.Context(), t.TempDir()); err != nil || got.Unix() != 0 {
		t.Errorf("outside a repository: got %v, %v; want the beginning of time", got, err)
	}
}
