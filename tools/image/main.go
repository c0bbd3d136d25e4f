package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o, err := parseOptions(ctx, args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "image:", err)
		return 2
	}
	if err := build(ctx, o, stdout); err != nil {
		fmt.Fprintln(stderr, "image:", err)
		return 1
	}
	return 0
}

// options say what to build and where to put it.
type options struct {
	root      string // the main module's directory
	output    string // the file to write
	format    string // "oci" or "docker"
	tag       name.Tag
	version   string
	revision  string // the commit; empty if unknown
	created   time.Time
	platforms []v1.Platform
}

func build(ctx context.Context, o options, stdout io.Writer) error {
	images := make([]v1.Image, len(o.platforms))
	g, ctx := errgroup.WithContext(ctx)
	for i, p := range o.platforms {
		g.Go(func() (err error) {
			if images[i], err = buildImage(ctx, o, p); err != nil {
				return fmt.Errorf("build the image for %s: %w", p, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.output), 0o755); err != nil {
		return err
	}
	write := writeOCI
	if o.format == "docker" {
		write = writeDocker
	}
	if err := write(o, images); err != nil {
		return fmt.Errorf("write %s: %w", o.output, err)
	}
	return report(stdout, o, images)
}

func parseOptions(ctx context.Context, args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.root, "root", "..", "`directory` of the main module")
	flags.StringVar(&o.output, "output", "../dist/foo-sidecar-oci.tar", "`file` to write")
	flags.StringVar(&o.format, "format", "oci", "`oci` (archive of an OCI layout, all platforms) or docker (for docker load, one platform)")
	flags.StringVar(&o.version, "version", "devel", "version to stamp on the binaries and the image")
	tag := flags.String("tag", "foo-sidecar:dev", "`name` that the archive gives the image")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64", "comma-separated `list` of what to build for")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: everything is said with flags", flags.Arg(0))
	}
	for platform := range strings.SplitSeq(*platforms, ",") {
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			return o, fmt.Errorf("-platforms: %w", err)
		}
		if p.OS != "linux" || p.Architecture == "" {
			return o, fmt.Errorf("-platforms: %q: want linux/ARCHITECTURE", platform)
		}
		o.platforms = append(o.platforms, *p)
	}
	switch o.format {
	case "oci":
	case "docker":
		if len(o.platforms) != 1 {
			return o, errors.New("-format docker holds one platform: name it with -platforms")
		}
	default:
		return o, fmt.Errorf("-format: %q: want oci or docker", o.format)
	}
	var err error
	if o.tag, err = name.NewTag(*tag); err != nil {
		return o, fmt.Errorf("-tag: %w", err)
	}
	o.revision = git(ctx, o.root, "rev-parse", "HEAD")
	if o.created, err = creation(ctx, o.root); err != nil {
		return o, err
	}
	return o, nil
}

// creation is the time that the image claims to be made at: that of
// SOURCE_DATE_EPOCH, else of the commit, else the beginning of time. It is
// never the present, which would make every build another image.
func creation(ctx context.Context, root string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		text = git(ctx, root, "log", "-1", "--format=%ct")
	}
	if text == "" {
		text = "0"
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %q: want a number of seconds", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// git asks about the commit. Sources need not be a git repository, so no
// answer is an answer too.
func git(ctx context.Context, dir string, args ...string) string {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// report prints what was made.
func report(w io.Writer, o options, images []v1.Image) error {
	info, err := os.Stat(o.output)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s, version %s, in %s (%s)\n", o.tag, o.version, o.output, megabytes(info.Size()))
	for i, img := range images {
		digest, err := img.Digest()
		if err != nil {
			return err
		}
		layers, err := img.Layers()
		if err != nil {
			return err
		}
		var size int64
		for _, l := range layers {
			n, err := l.Size()
			if err != nil {
				return err
			}
			size += n
		}
		fmt.Fprintf(w, "  %-12s %s  %s to pull\n", o.platforms[i], digest, megabytes(size))
	}
	if o.format == "oci" {
		digest, err := newIndex(o, images).Digest()
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %-12s %s\n", "index", digest)
	}
	return nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
