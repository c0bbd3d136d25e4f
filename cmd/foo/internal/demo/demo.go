package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/load"
	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/server"
	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
)

// Options configures a demonstration.
type Options struct {
	// Sidecar is the path of the sidecar's binary, Args what follows the flags
	// that the demonstration gives it.
	Sidecar string
	Args    []string
	// Listen is where the sidecar accepts clients, Forward where the server is,
	// HTTP where the sidecar is asked for its statistics. Port 0 takes any that
	// is free.
	Listen, Forward, HTTP string
	// RecoveryPath is where the sidecar keeps its checkpoint.
	RecoveryPath string
	// PIDFile holds the sidecar's process id during the demonstration, LogFile
	// the sidecar's log, also afterwards.
	PIDFile, LogFile string
	// Duration ends the demonstration. Zero means that the context does.
	Duration time.Duration
	// StopTimeout is how long the sidecar may take to stop. Zero means 15 s,
	// which is more than it takes to drain.
	StopTimeout time.Duration
	// Foo is how this program is called, for the hints.
	Foo string
	// Stdout is where everything is shown; on a Terminal the line with the
	// statistics stays in place.
	Stdout   io.Writer
	Terminal bool
}

// The client talks at a gentle rate, so that a newcomer can follow, to a server
// that takes its time and sometimes refuses.
var (
	clientOptions = load.Options{
		Connections: 4, Pipeline: 4, Rate: 200, Size: 32,
		ConnectTimeout: 5 * time.Second, Reconnect: true, Grace: 5 * time.Second,
	}
	serverOptions = server.Options{
		NAK: 0.02, Delay: 5 * time.Millisecond, DelaySpread: 4 * time.Millisecond, OutOfOrder: true,
	}
)

const (
	readyTimeout = 15 * time.Second
	stopTimeout  = 15 * time.Second
	settleTime   = 2 * time.Second // for the last pairs to show in the statistics
	pollPeriod   = 50 * time.Millisecond
	showPeriod   = time.Second
)

// errNoFailure says that a process ended with exit code 0.
var errNoFailure = errors.New("exit status 0")

// Run shows the sidecar at work until ctx ends or the time is up.
func Run(ctx context.Context, o Options) error {
	l, err := o.takeAddresses(ctx)
	if err != nil {
		return err
	}
	serving, stopServer := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.New(serverOptions).Serve(serving, l) }()

	err = o.runSidecar(ctx)

	stopServer()
	return errors.Join(err, <-served)
}

// takeAddresses listens for the server, finds out whether the sidecar will be
// able to listen, and replaces ports that are 0 by real ones.
func (o *Options) takeAddresses(ctx context.Context) (net.Listener, error) {
	for _, a := range []struct {
		flag    string
		address *string
	}{{"listen", &o.Listen}, {"http", &o.HTTP}} {
		l, err := take(ctx, a.flag, a.address)
		if err != nil {
			return nil, err
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	return take(ctx, "forward", &o.Forward)
}

func take(ctx context.Context, flag string, address *string) (net.Listener, error) {
	l, err := wire.Listen(ctx, *address)
	if err != nil {
		return nil, fmt.Errorf("%w; if another demo is running end it, or choose another address with --%s", err, flag)
	}
	if host, port, err := net.SplitHostPort(*address); err == nil && port == "0" {
		_, port, err = net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		*address = net.JoinHostPort(host, port)
	}
	return l, nil
}

// runSidecar runs the sidecar and the client. The server is there before and
// after.
func (o *Options) runSidecar(ctx context.Context) (err error) {
	screen := &screen{w: o.Stdout, inPlace: o.Terminal}
	admin := newAdmin(o.HTTP)
	defer admin.close()
	child, err := o.start(screen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, child.stop(cmp.Or(o.StopTimeout, stopTimeout))) }()
	ctx, cancel := child.context(ctx)
	defer cancel()

	before, err := admin.awaitReady(ctx)
	switch {
	case err != nil && !child.alive():
		return child.explain(fmt.Errorf("the sidecar ended before it was ready: %w", cmp.Or(child.err, errNoFailure)))
	case err != nil && ctx.Err() != nil:
		return nil // the user ended it
	case err != nil:
		return child.explain(err)
	}
	if o.Duration > 0 {
		ctx, cancel = context.WithTimeout(ctx, o.Duration)
		defer cancel()
	}
	screen.print(o.hints(admin.base))
	client := make(chan *load.Result, 1)
	go func() { client <- o.talk(ctx) }()
	after := admin.show(ctx, screen)
	result := <-client
	screen.clear()
	if child.alive() {
		screen.print(comparison(result, before, admin.settled(before, result, after)))
		return nil
	}
	if child.err != nil {
		return child.explain(fmt.Errorf("the sidecar ended: %w", child.err))
	}
	screen.print("The sidecar was stopped.\n")
	return nil
}

// talk is the client.
func (o *Options) talk(ctx context.Context) *load.Result {
	options := clientOptions
	options.Dial = func(ctx context.Context) (net.Conn, error) { return wire.Dial(ctx, o.Listen) }
	// The error says that there was no connection, and with Reconnect there is
	// no such error.
	result, _ := load.Run(ctx, options)
	return result
}

// hints says what there is to see and to try.
func (o *Options) hints(base string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nA client talks to a server at %s, through the sidecar at %s.\n\n", o.Forward, o.Listen)
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, hint := range [][2]string{
		{"curl " + base + "/stats", "statistics"},
		{"curl " + base + "/metrics", "the same for Prometheus"},
		{"curl " + base + "/status", "whether it is ready, and why"},
		{"make kill args=-SIGUSR2", "prints the statistics here"},
		{o.Foo + " call -connect " + o.Listen + " hello", "talks through the sidecar, too"},
	} {
		_, _ = fmt.Fprintf(t, "  %s\t%s\n", hint[0], hint[1])
	}
	_ = t.Flush() // a strings.Builder takes everything
	fmt.Fprintf(&b, "\nThe sidecar's log is in %s. Ctrl-C ends all of it.\n\n", o.LogFile)
	return b.String()
}

// comparison says whether the client's counts and the sidecar's are equal.
func comparison(client *load.Result, before, after stats) string {
	seen := after.since(before)
	text := fmt.Sprintf("client:  %d requests, %d ACK, %d NAK\nsidecar: %d requests, %d ACK, %d NAK",
		client.Sent, client.ACKs, client.NAKs, seen.Requests, seen.ACKs, seen.NAKs+seen.LocalNAKs)
	if seen.LocalNAKs > 0 {
		text += fmt.Sprintf(" (%d of them its own)", seen.LocalNAKs)
	}
	if seen.agrees(client) {
		return text + ": equal\n"
	}
	return text + ": not equal, so somebody else talked to it, or something was lost\n"
}
