//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

// A subject is what is measured: a proxy, or none.
type subject struct {
	name, about string
	// in are the workloads that it takes part in, nil for all.
	in []string
	// files are those that it has open for a connection; zero is 2, the
	// connections on either side.
	files int
	// packages are the Debian packages that it needs. available reports whether
	// they are there.
	packages  string
	available func(context.Context) bool
	start     func(context.Context, *stage) (*proxy, error)
}

// A proxy is a subject that runs.
type proxy struct {
	subject
	address string // where clients connect
	processes
	stop func()
}

// nginxPackages are the Debian packages of nginx with what forwards TCP.
const nginxPackages = "nginx-light libnginx-mod-stream"

var subjects = []subject{
	{name: "direct", about: "no proxy: the load talks to the server", files: 1, start: startNothing},
	{name: "sidecar", about: "foo-sidecar as it comes", start: sidecar{}.start},
	{
		name: "watched", about: "foo-sidecar, scraped each second, 1 % of pairs traced, one status page open",
		in: []string{"W3", "W4", "W5"}, start: startWatched,
	},
	{
		name: "context", about: "foo-sidecar, looking for a traceparent in each request (extract)",
		in: []string{"W2", "W3", "W5"}, start: sidecar{env: []string{"FOO_SIDECAR_TELEMETRY_TRACES_CONTEXT_EXTRACT=true"}}.start,
	},
	{
		name: "unix", about: "foo-sidecar, reached by a Unix socket, forwarding over TCP",
		in: []string{"W1", "W2", "W3"}, start: sidecar{unix: true}.start,
	},
	{
		name: "haproxy", about: "HAProxy in TCP mode",
		packages: "haproxy", available: haveHAProxy, start: haproxy{}.start,
	},
	{
		name: "haproxy-64k", about: "HAProxy in TCP mode with buffers of 64 KiB (tune.bufsize 65536)",
		packages: "haproxy", available: haveHAProxy, start: haproxy{bufferSize: 64 << 10}.start,
	},
	{
		name: "nginx", about: "nginx with its stream module",
		packages: nginxPackages, available: haveNginx, start: startNginx,
	},
	// io.Copy lets the kernel carry the bytes, through a pipe for each direction.
	{name: "iocopy", about: "a proxy of 50 lines of Go around io.Copy", files: 6, start: startIOCopy},
}

// help says what the subject is, and where it is not measured.
func (s subject) help() string {
	text := s.about
	if s.in != nil {
		text += "; in " + strings.Join(s.in, ", ")
	}
	if s.packages != "" {
		text += "; needs apt-get install " + s.packages
	}
	return text
}

func startNothing(_ context.Context, s *stage) (*proxy, error) {
	return &proxy{address: s.upstream, stop: func() {}}, nil
}

// sidecar is a way to run foo-sidecar.
type sidecar struct {
	env  []string
	unix bool
}

func (c sidecar) start(ctx context.Context, s *stage) (*proxy, error) {
	_, p, err := c.run(ctx, s)
	return p, err
}

func (c sidecar) run(ctx context.Context, s *stage) (running *programs.Sidecar, p *proxy, err error) {
	own := s.programs
	own.Env = c.env
	var args []string
	socket := "unix:" + filepath.Join(s.dir, "foo.sock")
	if c.unix {
		args = []string{"--listen", socket}
	}
	process, stop, err := s.launch(ctx, func(life context.Context) (*programs.Process, error) {
		var err error
		if running, err = own.Sidecar(life, s.upstream, args...); err != nil {
			return nil, err
		}
		return running.Process, nil
	})
	if err != nil {
		return nil, nil, err
	}
	p = &proxy{address: running.Address, processes: processes{process.PID()}, stop: stop}
	if c.unix {
		p.address = socket
	}
	return running, p, nil
}

// startWatched starts a sidecar as it is in production: its metrics are scraped
// each second, one of a hundred pairs is traced (as far as
// telemetry.pairs.perSecond allows), and somebody has the status page open.
func startWatched(ctx context.Context, s *stage) (*proxy, error) {
	collector, stopCollector, err := serveCollector()
	if err != nil {
		return nil, err
	}
	traced := sidecar{env: []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + collector, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"FOO_SIDECAR_TELEMETRY_PAIRS_RATIO=0.01",
	}}
	running, p, err := traced.run(ctx, s)
	if err != nil {
		stopCollector()
		return nil, err
	}
	unwatch := watch(ctx, running.Admin)
	stop := p.stop
	p.stop = func() {
		unwatch()
		stop()
		stopCollector()
	}
	return p, nil
}

// haproxy is a way to run HAProxy. Without a size it has the buffers that it
// comes with.
type haproxy struct{ bufferSize int }

func (h haproxy) start(ctx context.Context, s *stage) (*proxy, error) {
	return s.foreign(ctx, "haproxy.cfg", h.config, func(config string) (string, []string) {
		return find("haproxy"), []string{"-db", "-f", config}
	})
}

func startNginx(ctx context.Context, s *stage) (*proxy, error) {
	module, _ := nginxModule(ctx)
	config := func(c forwarding) string { return nginxConfig(c, module) }
	return s.foreign(ctx, "nginx.conf", config, func(file string) (string, []string) {
		return find("nginx"), []string{"-p", filepath.Dir(file), "-c", file, "-e", "stderr"}
	})
}

func startIOCopy(ctx context.Context, s *stage) (*proxy, error) {
	address := ""
	process, stop, err := s.launch(ctx, func(life context.Context) (*programs.Process, error) {
		p, err := s.programs.Start(life, "iocopy", "--forward", s.upstream)
		if err != nil {
			return nil, err
		}
		const before = "listening on "
		line, err := p.Stderr.Line(ctx, before)
		if err != nil {
			return nil, fmt.Errorf("start iocopy: %w", err)
		}
		_, address, _ = strings.Cut(strings.TrimSpace(line), before)
		return p, nil
	})
	if err != nil {
		return nil, err
	}
	return &proxy{address: address, processes: processes{process.PID()}, stop: stop}, nil
}
