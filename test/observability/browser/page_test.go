package browser_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/foo-protocol/foo-sidecar/internal/programs/programstest"
	"github.com/foo-protocol/foo-sidecar/test/observability/browser"
)

// What all tests share, because it takes seconds to make.
var (
	built    programstest.Programs
	chromium *browser.Chromium
)

func TestMain(m *testing.M) { os.Exit(prepareAndRun(m)) }

func prepareAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "foo-browser")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		var end func()
		if chromium, end, err = browser.Launch(context.Background(), dir); err == nil {
			defer end()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "prepare the browser tests:", err)
		return 1
	}
	return programstest.Main(m, &built)
}

// must returns a value that there has to be.
func must[T any](t *testing.T) func(value T, err error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// tab opens a page and waits until it is live.
func tab(t *testing.T, url string) *browser.Page {
	t.Helper()
	p := must[*browser.Page](t)(chromium.Tab())
	t.Cleanup(p.Close)
	look(t, p, 1280, "light")
	if err := p.Open(url); err != nil {
		t.Fatal(err)
	}
	until(t, p, `document.getElementById("live").textContent === "live"`)
	return p
}

func look(t *testing.T, p *browser.Page, width int64, scheme string) {
	t.Helper()
	if err := p.Look(width, 900, scheme); err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, p *browser.Page, expression string) {
	t.Helper()
	if err := p.Until(expression); err != nil {
		t.Fatal(err)
	}
}

// untilShown waits until an element shows a text.
func untilShown(t *testing.T, p *browser.Page, id, text string) {
	t.Helper()
	until(t, p, fmt.Sprintf("document.getElementById(%q).textContent.includes(%q)", id, text))
}

func noProblems(t *testing.T, p *browser.Page) {
	t.Helper()
	for _, problem := range p.Problems() {
		t.Errorf("on the console: %s", problem)
	}
}

// inked is true if a canvas has anything on it.
func inked(selector string) string {
	return fmt.Sprintf(`(() => {
		const canvas = document.querySelector(%q);
		if (!(canvas?.width > 0)) return false;
		const blank = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
		return canvas.toDataURL() !== blank.toDataURL();
	})()`, selector)
}

func TestNumbersMoveAndAgreeWithTheStatistics(t *testing.T) {
	s := built.Sidecar(t, built.Serve(t, "--nak", "0.1").Address)
	p := tab(t, s.URL())
	untilShown(t, p, "verdict-title", "Ready, but there are no requests")

	client := built.Load(t, s.Address, "--rate", "500", "--connections", "4", "--requests", "4000")
	until(t, p, `/^[1-9]/.test(document.getElementById("tile-requests").textContent)`)
	before := must[string](t)(p.Text("totals"))
	until(t, p, fmt.Sprintf("document.getElementById(%q).textContent !== %q", "totals", before))
	untilShown(t, p, "verdict-title", "% of requests are refused")
	untilShown(t, p, "tile-connections", "4")
	for _, chart := range []string{"#chart-rates canvas", "#chart-failed canvas", "#chart-latency canvas", "#heat", "#chart-flight canvas", "#chart-connections canvas"} {
		until(t, p, inked(chart))
	}
	until(t, p, `document.querySelectorAll("#failed tbody tr").length > 3`)
	untilShown(t, p, "failed", "refused by the upstream")
	client.Wait()

	stats := s.Stats()
	if stats.Acked+stats.Naked != 4000 || stats.InFlight != 0 {
		t.Errorf("the statistics are %+v after 4000 requests", stats)
	}
	for name, n := range map[string]int64{"Granted (ACK)": stats.Acked, "Refused by the upstream (NAK)": stats.Naked} {
		untilShown(t, p, "totals", name+thousands(n))
	}
	untilShown(t, p, "tile-flight", "0")
	noProblems(t, p)
}

// thousands writes a number below a million as the page does.
func thousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

func TestSlowRequestsAndTheirLatencyAreShown(t *testing.T) {
	s := built.Sidecar(t, built.Serve(t, "--delay", "30ms").Address)
	p := tab(t, s.URL())
	built.Load(t, s.Address, "--rate", "50", "--connections", "2", "--duration", "1m")
	until(t, p, `/^3\d(\.\d+)? ms$/.test(document.getElementById("tile-latency").textContent)`)
	until(t, p, inked("#heat"))
	noProblems(t, p)
}

func TestReloadErrorIsShownUntilItIsPutRight(t *testing.T) {
	upstream := built.Serve(t)
	file := programstest.Configuration(t, "")
	s := built.Sidecar(t, upstream.Address, "--config", file)
	p := tab(t, s.URL())
	untilShown(t, p, "config", "as the file says")

	programstest.Configure(t, file, "lissteners: []")
	s.Signal(syscall.SIGHUP)
	untilShown(t, p, "verdict-title", "Ready, but the new configuration was refused")
	untilShown(t, p, "verdict-detail", "lissteners")
	untilShown(t, p, "config-error", "lissteners")

	programstest.Configure(t, file, "log: {level: debug}")
	s.Signal(syscall.SIGHUP)
	untilShown(t, p, "config", "as the file says")
	until(t, p, `document.getElementById("config-error").hidden`)
	noProblems(t, p)
}

func TestPageOutlivesARestartOfTheSidecar(t *testing.T) {
	upstream := built.Serve(t)
	s := built.Sidecar(t, upstream.Address)
	built.Load(t, s.Address, "--rate", "200", "--duration", "2m", "--reconnect")
	p := tab(t, s.URL())
	until(t, p, inked("#chart-rates canvas"))
	noProblems(t, p)
	if _, err := browser.Eval[bool](p, "window.samePage = true"); err != nil {
		t.Fatal(err)
	}

	s.Stop()
	untilShown(t, p, "live", "connection lost, trying again")
	untilShown(t, p, "verdict-title", "The sidecar does not answer")

	again := built.Sidecar(t, upstream.Address, "--http", s.Admin, "--listen", s.Address)
	untilShown(t, p, "live", "live")
	untilShown(t, p, "verdict-title", "Ready")
	again.Stats() // It answers where the other did.
	untilShown(t, p, "uptime", "second")
	until(t, p, `/^[1-9]/.test(document.getElementById("tile-requests").textContent)`)
	if same := must[bool](t)(browser.Eval[bool](p, "window.samePage === true")); !same {
		t.Error("the page was loaded anew")
	}
}

func TestUpstreamThatCannotBeReachedIsTheVerdict(t *testing.T) {
	ln := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	nobody := ln.Addr().String()
	_ = ln.Close()
	s := built.Sidecar(t, nobody)
	p := tab(t, s.URL())
	built.Load(t, s.Address, "--rate", "5", "--connections", "1", "--duration", "2m")
	untilShown(t, p, "verdict-title", "the upstream cannot be reached")
	untilShown(t, p, "verdict-detail", nobody)
	untilShown(t, p, "upstreams", "cannot be reached")
	noProblems(t, p)
}

// What clients send reaches the page, and nobody vouches for clients.
func TestHostileMessagesAreShownAsText(t *testing.T) {
	file := programstest.Configuration(t, "telemetry: {pairs: {payload: show}}")
	s := built.Sidecar(t, built.Serve(t, "--nak", "1").Address, "--config", file)
	p := tab(t, s.URL())
	c := must[net.Conn](t)(net.Dial("tcp", s.Address))
	defer c.Close()
	const markup = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`
	if _, err := c.Write([]byte("REQ 1 " + markup + "\n<b>\n")); err != nil {
		t.Fatal(err)
	}
	untilShown(t, p, "failed", markup)
	untilShown(t, p, "violations", "<b>")
	if hacked := must[bool](t)(browser.Eval[bool](p, `"hacked" in window || document.querySelector("td :is(img, script, b)") !== null`)); hacked {
		t.Error("the page took a client's bytes for markup")
	}
	noProblems(t, p)
}

func TestPageFitsAPhoneAndIsDarkOnDemand(t *testing.T) {
	s := built.Sidecar(t, built.Serve(t, "--nak", "0.5").Address)
	built.Load(t, s.Address, "--rate", "100", "--duration", "1m")
	p := tab(t, s.URL())
	until(t, p, `document.querySelectorAll("#failed tbody tr").length > 3`)
	for _, width := range []int64{320, 390, 768} {
		look(t, p, width, "light")
		until(t, p, fmt.Sprintf("innerWidth === %d", width))
		if got := must[int64](t)(browser.Eval[int64](p, "document.documentElement.scrollWidth")); got > width {
			t.Errorf("the page is %d pixels wide in a window of %d", got, width)
		}
	}
	luminance := func(scheme string) int64 {
		look(t, p, 1280, scheme)
		until(t, p, fmt.Sprintf("matchMedia('(prefers-color-scheme: %s)').matches", scheme))
		until(t, p, inked("#chart-rates canvas"))
		return must[int64](t)(browser.Eval[int64](p, `getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).reduce((sum, n) => sum + Number(n), 0)`))
	}
	if light, dark := luminance("light"), luminance("dark"); light < 600 || dark > 150 {
		t.Errorf("the sum of the background's colours is %d when light and %d when dark", light, dark)
	}
	noProblems(t, p)
}

func TestLinksLeadToTheDataBehindThem(t *testing.T) {
	s := built.Sidecar(t, built.Serve(t).Address)
	p := tab(t, s.URL())
	broken := must[string](t)(browser.Eval[string](p, `Promise.all([...new Set([...document.querySelectorAll("a")].map((a) => a.getAttribute("href")))]
		.map(async (href) => {
			const reply = await fetch(href, { method: "HEAD" });
			return reply.ok ? "" : href + ": " + reply.status;
		})).then((all) => all.filter(Boolean).join(", "))`))
	if strings.TrimSpace(broken) != "" {
		t.Errorf("links that lead nowhere: %s", broken)
	}
	noProblems(t, p)
}
