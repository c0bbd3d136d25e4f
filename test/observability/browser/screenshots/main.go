// Command screenshots makes the pictures of the status page for the
// documentation: it starts a sidecar between a Foo server and clients, lets
// them work until the charts are full, and photographs the page.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
	"github.com/foo-protocol/foo-sidecar/test/observability/browser"
)

func main() { os.Exit(photograph()) }

// photograph does all of it and returns the exit code.
func photograph() int {
	dir := flag.String("dir", filepath.Join("..", "..", "docs", "images"), "directory for the pictures")
	traffic := flag.Duration("traffic", 5*time.Minute, "time that the charts get filled")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *traffic); err != nil {
		fmt.Fprintln(os.Stderr, "make screenshots:", err)
		return 1
	}
	return 0
}

// A picture is one view of the page.
type picture struct {
	name          string
	width, height int64
	scheme        string
}

var (
	working  = []picture{{"status-page", 1280, 1000, "light"}, {"status-page-dark", 1280, 1000, "dark"}, {"status-page-phone", 390, 844, "light"}}
	troubled = []picture{{"status-page-trouble", 1280, 640, "light"}}
)

func run(ctx context.Context, dir string, traffic time.Duration) error {
	temp, err := os.MkdirTemp("", "foo-screenshots")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	chromium, end, err := browser.Launch(ctx, filepath.Join(temp, "chromium"))
	if err != nil {
		return err
	}
	defer end()
	built, err := programs.Build(ctx, temp)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the programs
	server, err := built.Serve(ctx, "--delay", "3ms", "--delay-spread", "2500us", "--nak", "0.004", "--out-of-order")
	if err != nil {
		return err
	}
	sidecar, err := built.Sidecar(ctx, server.Address)
	if err != nil {
		return err
	}
	if err := work(ctx, built, sidecar.Address, traffic); err != nil {
		return err
	}
	tab, err := chromium.Tab()
	if err != nil {
		return err
	}
	defer tab.Close()
	if err := tab.Open(sidecar.URL()); err != nil {
		return err
	}
	if err := take(tab, dir, `document.getElementById("verdict-title").textContent === "Ready, all is well"`, working); err != nil {
		return err
	}
	server.Stop()
	// By and by requests are refused, too.
	return take(tab, dir, `document.getElementById("verdict-title").textContent.includes("cannot be reached") &&
		document.getElementById("verdict-more").textContent.includes("are refused")`, troubled)
}

// work sends requests for a while, at a rate that goes up and down. The last
// client goes on until ctx ends.
func work(ctx context.Context, built programs.Programs, address string, traffic time.Duration) error {
	if _, err := built.Load(ctx, address, "--rate", "400", "--connections", "8", "--pipeline", "4", "--duration", "1h"); err != nil {
		return err
	}
	const waves = 10
	for i := range waves {
		rate := 200 + 150*((i*3)%7)
		wave, err := built.Load(ctx, address, "--rate", fmt.Sprint(rate), "--connections", fmt.Sprint(2+i%4), "--pipeline", "8", "--duration", (traffic / waves).String())
		if err != nil {
			return err
		}
		wave.Wait()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// take takes pictures of the page once it is as expected.
func take(tab *browser.Page, dir, expected string, pictures []picture) error {
	for _, p := range pictures {
		if err := tab.Look(p.width, p.height, p.scheme); err != nil {
			return err
		}
		if err := tab.Until(expected); err != nil {
			return err
		}
		// The charts follow at the next event.
		if err := tab.Until(`((then) => Date.now() - then > 2500)(window.photographed ??= Date.now())`); err != nil {
			return err
		}
		if _, err := browser.Eval[bool](tab, "delete window.photographed"); err != nil {
			return err
		}
		shot, err := tab.Screenshot()
		if err != nil {
			return fmt.Errorf("photograph the page: %w", err)
		}
		if err := save(filepath.Join(dir, p.name+".png"), shot); err != nil {
			return err
		}
	}
	return nil
}

// save writes a picture with as few bytes as its colours allow.
func save(name string, shot []byte) error {
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return fmt.Errorf("read the picture: %w", err)
	}
	var small bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&small, reduce(picture)); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return os.WriteFile(name, small.Bytes(), 0o644)
}

// reduce returns a picture with the 256 commonest of its colours.
func reduce(picture image.Image) *image.Paletted {
	bounds := picture.Bounds()
	reduced := image.NewPaletted(bounds, commonest(picture, 256))
	nearest := map[rgb]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := at(picture, x, y)
			index, ok := nearest[c]
			if !ok {
				index = uint8(reduced.Palette.Index(c))
				nearest[c] = index
			}
			reduced.SetColorIndex(x, y, index)
		}
	}
	return reduced
}
