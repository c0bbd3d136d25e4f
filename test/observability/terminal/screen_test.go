//go:build unix

package terminal

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
	"github.com/foo-protocol/foo-sidecar/internal/programs/programstest"
)

// console is a terminal at which somebody sits.
type console struct {
	t       *testing.T
	pty     *os.File // the side of who sits there
	tty     *os.File // the side of the programs
	emulate vt10x.Terminal
	raw     *programs.Output // all that was ever written on it
	before  string           // its settings
}

// prompt is what a terminal shows before a program starts.
const prompt = "somebody@here$"

// newConsole returns a terminal of a size, on which something stands already.
func newConsole(t *testing.T, columns, rows int) *console {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	c := &console{
		t: t, pty: master, tty: tty,
		emulate: vt10x.New(vt10x.WithSize(columns, rows)),
		raw:     programs.NewOutput(),
	}
	t.Cleanup(func() { master.Close(); tty.Close() })
	if err := pty.Setsize(tty, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
	c.before = c.settings()
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := master.Read(buf)
			c.emulate.Write(buf[:n])
			c.raw.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	c.tty.WriteString(prompt + "\n")
	c.await("the prompt", func(screen string) bool { return strings.HasPrefix(screen, prompt) })
	return c
}

// settings returns what the system knows of the terminal, other than its size.
func (c *console) settings() string {
	c.t.Helper()
	stty := exec.Command("stty", "-g")
	stty.Stdin = c.tty
	settings, err := stty.Output()
	if err != nil {
		c.t.Fatal(err)
	}
	return string(settings)
}

// start runs the sidecar's program on the terminal.
func (c *console) start(args ...string) *programstest.Process {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), built.Path("sidecar"), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.tty, c.tty, c.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // Ctrl-C reaches it
	return built.With("TERM=xterm-256color").StartCommand(c.t, cmd)
}

// screen returns what can be seen.
func (c *console) screen() string { return c.emulate.String() }

// await waits until the screen shows what is expected, and returns it.
func (c *console) await(what string, ok func(screen string) bool) (screen string) {
	c.t.Helper()
	if err := c.raw.Await(c.t.Context(), func() bool { screen = c.screen(); return ok(screen) }); err != nil {
		c.t.Fatalf("%v for %s on this screen:\n%s", err, what, screen)
	}
	return screen
}

// match waits until the screen matches an expression, and returns its groups.
func (c *console) match(expression string) (groups []string) {
	c.t.Helper()
	re := regexp.MustCompile(expression)
	c.await(expression, func(screen string) bool {
		groups = re.FindStringSubmatch(screen)
		return groups != nil
	})
	return groups
}

// press presses keys.
func (c *console) press(keys string) {
	c.t.Helper()
	if _, err := c.pty.WriteString(keys); err != nil {
		c.t.Fatal(err)
	}
}

// resize gives the terminal another size.
func (c *console) resize(columns, rows int) {
	c.t.Helper()
	c.emulate.Resize(columns, rows)
	if err := pty.Setsize(c.pty, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}); err != nil {
		c.t.Fatal(err)
	}
}

// expectClean checks that the terminal is as it was before a program drew on
// all of it.
func (c *console) expectClean() {
	c.t.Helper()
	// What is written now comes after all that the program wrote.
	const after = "what comes next"
	c.tty.WriteString(after + "\n")
	screen := c.await(after, func(screen string) bool { return strings.Contains(screen, after) })
	lines := strings.Split(screen, "\n")
	if !strings.HasPrefix(lines[0], prompt) || !strings.HasPrefix(lines[1], after) || strings.TrimSpace(strings.Join(lines[2:], "")) != "" {
		c.t.Errorf("the screen is not as it was:\n%s", screen)
	}
	if c.emulate.Mode()&vt10x.ModeAltScreen != 0 || c.emulate.Mode()&vt10x.ModeWrap == 0 {
		c.t.Errorf("the modes are not as they were: %b", c.emulate.Mode())
	}
	if !c.emulate.CursorVisible() {
		c.t.Error("the cursor is hidden")
	}
	if now := c.settings(); now != c.before {
		c.t.Errorf("the terminal's settings are not as they were: got %s, want %s", now, c.before)
	}
}
