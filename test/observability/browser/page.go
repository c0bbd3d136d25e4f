package browser

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

// Chromium is a browser that runs.
type Chromium struct {
	ctx context.Context
}

// Launch starts a headless Chromium that keeps its files in dir, until ctx ends
// or the function is called.
func Launch(ctx context.Context, dir string) (*Chromium, func(), error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, nil, errors.New("there is no chromium in $PATH; Debian has it in the package chromium: apt-get install chromium")
	}
	flags := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	}
	allocated, endAllocator := chromedp.NewExecAllocator(ctx, slices.Concat(chromedp.DefaultExecAllocatorOptions[:], flags)...)
	browser, endBrowser := chromedp.NewContext(allocated)
	end := func() { endBrowser(); endAllocator() }
	if err := chromedp.Do(browser); err != nil { // starts it
		end()
		return nil, nil, fmt.Errorf("start %s: %w", path, err)
	}
	return &Chromium{browser}, end, nil
}

// Page is one tab.
type Page struct {
	ctx context.Context
	end context.CancelFunc

	mu       sync.Mutex // guards problems
	problems []string
}

// Tab opens a tab, which must be closed.
func (c *Chromium) Tab() (*Page, error) {
	ctx, end := chromedp.NewContext(c.ctx)
	p := &Page{ctx: ctx, end: end}
	if err := chromedp.Do(ctx); err != nil {
		end()
		return nil, fmt.Errorf("open a tab: %w", err)
	}
	go p.listen(chromedp.Console(ctx))
	return p, nil
}

// Close closes the tab.
func (p *Page) Close() { p.end() }

// listen remembers what is not as it should be: the errors and warnings on the
// console, which include violations of the page's own security policy.
func (p *Page) listen(messages func(yield func(chromedp.ConsoleMessage, error) bool)) {
	for m, err := range messages {
		if err != nil {
			return // the tab is closed
		}
		switch m.Type {
		case chromedp.ConsoleLog, chromedp.ConsoleInfo, chromedp.ConsoleDebug:
			continue
		}
		p.mu.Lock()
		p.problems = append(p.problems, fmt.Sprintf("%s: %s (%s:%d)", m.Type, m.Text, m.URL, m.Line))
		p.mu.Unlock()
	}
}

// Problems returns the errors and warnings on the console.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.problems)
}

// Look sets the size of the window, and light or dark.
func (p *Page) Look(width, height int64, scheme string) error {
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, media); err != nil {
		return fmt.Errorf("prefer %s: %w", scheme, err)
	}
	return chromedp.Do(p.ctx, chromedp.EmulateViewport(width, height))
}

// Open loads a page.
func (p *Page) Open(url string) error {
	if err := chromedp.Do(p.ctx, chromedp.Navigate(url)); err != nil {
		return fmt.Errorf("open %s: %w", url, err)
	}
	return nil
}

// Eval evaluates an expression in the page.
func Eval[T any](p *Page, expression string) (T, error) {
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		return value, fmt.Errorf("evaluate %s: %w", expression, err)
	}
	return value, nil
}

// Until waits until an expression is true. The page itself looks, each time that
// it draws.
func (p *Page) Until(expression string) error {
	met, err := Eval[bool](p, fmt.Sprintf(`new Promise((met) => {
		const end = Date.now() + %d;
		const look = () => (%s) ? met(true) : Date.now() > end ? met(false) : setTimeout(look, 50);
		look();
	})`, programs.Patience/time.Millisecond, expression))
	if err == nil && !met {
		text, _ := Eval[string](p, "document.body.innerText")
		err = fmt.Errorf("waited in vain for %s; the page shows:\n%s", expression, text)
	}
	return err
}

// Text returns the text of the element with that id.
func (p *Page) Text(id string) (string, error) {
	return Eval[string](p, fmt.Sprintf("document.getElementById(%q).textContent", id))
}

// Screenshot returns a picture of the first so many pixels of the page, as PNG.
func (p *Page) Screenshot() ([]byte, error) {
	return chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
}
