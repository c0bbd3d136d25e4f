//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

// forwarding is what a proxy of others is configured for.
type forwarding struct {
	listen, upstream string
	connections      int  // that there will be at most
	oneCore          bool // it runs on one processor
}

// foreign starts a proxy of others, which needs a configuration file, and waits
// until it forwards. command says how it is started with that file.
func (s *stage) foreign(
	ctx context.Context, name string, config func(forwarding) string, command func(file string) (string, []string),
) (*proxy, error) {
	dir, err := os.MkdirTemp(s.dir, name)
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, name)
	text := config(forwarding{address, s.upstream, s.connections, s.oneCore})
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	program, args := command(file)
	process, stop, err := s.launch(ctx, func(life context.Context) (*programs.Process, error) {
		return s.programs.Start(life, program, args...)
	})
	if err != nil {
		return nil, err
	}
	if err := awaitAnswer(ctx, address, process); err != nil {
		stop()
		return nil, err
	}
	all, err := family(process.PID())
	if err != nil {
		stop()
		return nil, err
	}
	return &proxy{address: address, processes: all, stop: stop}, nil
}

// freeAddress returns an address on which nobody listens. The proxies of others
// do not say which port they took.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It is ready at once.
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// find returns where a program is, "" if it is not installed. Not everybody's
// path has the directory of those for administrators.
func find(program string) string {
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func haveHAProxy(context.Context) bool { return find("haproxy") != "" }

// spare is how many connections more than the load's a proxy may have.
const spare = 16

// config returns HAProxy's configuration. Left alone it has a thread for each
// processor.
func (h haproxy) config(f forwarding) string {
	var global strings.Builder
	fmt.Fprintf(&global, "  maxconn %d\n", f.connections+spare)
	if f.oneCore {
		global.WriteString("  nbthread 1\n")
	}
	if h.bufferSize > 0 {
		fmt.Fprintf(&global, "  tune.bufsize %d\n", h.bufferSize)
	}
	return fmt.Sprintf(`global
%sdefaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen foo
  bind %s
  server foo %s
`, global.String(), f.listen, f.upstream)
}

func haveNginx(ctx context.Context) bool {
	_, ok := nginxModule(ctx)
	return ok
}

// nginxModule returns where the stream module is, "" if nginx has it built in.
func nginxModule(ctx context.Context) (file string, ok bool) {
	program := find("nginx")
	if program == "" {
		return "", false
	}
	flags, err := exec.CommandContext(ctx, program, "-V").CombinedOutput()
	if err != nil {
		return "", false
	}
	file, ok = streamModule(string(flags))
	if file != "" {
		_, err = os.Stat(file)
		ok = err == nil
	}
	return file, ok
}

var (
	builtIn    = regexp.MustCompile(`--with-stream(\s|$)`)
	modulesDir = regexp.MustCompile(`--modules-path=(\S+)`)
)

// streamModule says what "nginx -V" tells of the stream module.
func streamModule(flags string) (file string, ok bool) {
	if builtIn.MatchString(flags) {
		return "", true
	}
	if dir := modulesDir.FindStringSubmatch(flags); dir != nil && strings.Contains(flags, "--with-stream=dynamic") {
		return filepath.Join(dir[1], "ngx_stream_module.so"), true
	}
	return "", false
}

// nginxConfig returns nginx's configuration.
func nginxConfig(f forwarding, module string) string {
	load, workers := "", "auto"
	if module != "" {
		load = "load_module " + module + ";\n"
	}
	if f.oneCore {
		workers = "1"
	}
	return fmt.Sprintf(`%sdaemon off;
pid nginx.pid;
worker_processes %s;
events {
  worker_connections %d;
}
stream {
  server {
    listen %s backlog=4096;
    proxy_pass %s;
    proxy_timeout 1h;
  }
}
`, load, workers, 2*(f.connections+spare), f.listen, f.upstream)
}
