//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A subject is a way to run the sidecar, and what looks at it meanwhile.
type subject struct {
	name  string
	env   func(collector string) []string
	watch func(ctx context.Context, admin string)
}

// subjects are what is compared. Watched is what a sidecar in production is: its
// metrics are scraped each second, one of a hundred pairs is traced (as far as
// telemetry.pairs.perSecond allows), and somebody has the status page open.
var subjects = []subject{
	{name: "quiet", env: func(string) []string { return nil }, watch: func(context.Context, string) {}},
	{
		name: "watched",
		env: func(collector string) []string {
			return []string{
				"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + collector, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
				"FOO_SIDECAR_TELEMETRY_PAIRS_RATIO=0.01",
			}
		},
		watch: func(ctx context.Context, admin string) {
			var looking sync.WaitGroup
			looking.Go(func() { get(ctx, "http://"+admin+"/events") })
			for ctx.Err() == nil {
				get(ctx, "http://"+admin+"/metrics")
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
			looking.Wait()
		},
	},
}

// get reads an answer to its end. What fails shows in the sidecar's own counts,
// and ctx ends it in the end.
func get(ctx context.Context, url string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	defer answer.Body.Close()        //nolint:errcheck // It was read to its end, or nobody wants it.
	io.Copy(io.Discard, answer.Body) //nolint:errcheck // See above.
}

// measure runs one subject under one workload.
func measure(ctx context.Context, work, bin string, s subject, w workload, o options) (r Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.duration+time.Minute)
	defer cancel()
	if err := os.Mkdir(work, 0o755); err != nil {
		return r, err
	}
	collector, stopCollector, err := serveCollector()
	if err != nil {
		return r, err
	}
	defer stopCollector()

	server, at, err := launch(ctx, work, nil, []string{"listening on "}, filepath.Join(bin, "foo"), "serve", "--listen", "127.0.0.1:0")
	if err != nil {
		return r, err
	}
	defer end(server)
	ready := []string{`"listening","listener":"default","address":"`, `"admin server listening","address":"`}
	sidecar, at, err := launch(ctx, work, s.env(collector), ready, filepath.Join(bin, "sidecar"),
		"--listen", "127.0.0.1:0", "--forward", at[0], "--http", "127.0.0.1:0")
	if err != nil {
		return r, err
	}
	defer end(sidecar)

	watching, unwatch := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { s.watch(watching, at[1]) })
	defer watcher.Wait()
	defer unwatch()

	before, err := cpuTime(sidecar.Process.Pid)
	if err != nil {
		return r, err
	}
	load := exec.CommandContext(ctx, filepath.Join(bin, "foo"), "load", "--json", "--connect", at[0],
		"--connections", strconv.Itoa(w.Connections), "--pipeline", strconv.Itoa(w.Pipeline), "--duration", o.duration.String())
	out, err := load.Output()
	if err != nil {
		return r, fmt.Errorf("foo load: %w: %s", err, out)
	}
	after, err := cpuTime(sidecar.Process.Pid)
	if err != nil {
		return r, err
	}
	var report struct {
		ACKs       int64   `json:"acks"`
		Throughput float64 `json:"throughput"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return r, fmt.Errorf("foo load printed %s: %w", out, err)
	}
	return Result{
		Workload: w.Name, Subject: s.name, Pairs: report.ACKs, Rate: report.Throughput,
		CPU: float64((after - before).Microseconds()) / float64(report.ACKs),
	}, nil
}

// launch starts a program and waits until its standard error has had a line
// with each of the given texts, in their order, behind which it names an
// address. It returns these.
func launch(ctx context.Context, dir string, env, ready []string, program string, args ...string) (*exec.Cmd, []string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	errs, err := cmd.StderrPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	lines := bufio.NewScanner(errs)
	var said strings.Builder
	var addresses []string
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if _, address, ok := strings.Cut(lines.Text(), ready[len(addresses)]); ok {
			address, _, _ = strings.Cut(address, `"`)
			addresses = append(addresses, strings.TrimSpace(address))
		}
		if len(addresses) == len(ready) {
			go io.Copy(io.Discard, errs) //nolint:errcheck // It ends with the program.
			return cmd, addresses, nil
		}
	}
	return nil, nil, fmt.Errorf("%s does not get ready: %w\n%s", program, cmd.Wait(), said.String())
}

// end ends a program that was started here.
func end(cmd *exec.Cmd) {
	cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // It may have ended.
	cmd.Wait()                          //nolint:errcheck // How it ends is not what is measured.
}

// serveCollector serves what takes spans and does nothing with them, so that
// only the sidecar's part is measured.
func serveCollector() (address string, stop func(), err error) {
	socket, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It is ready at once.
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) //nolint:errcheck // The sidecar notices.
			w.Header().Set("Content-Type", "application/x-protobuf")
		}),
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "collector:", err)
		}
	})
	stop = func() {
		server.Close() //nolint:errcheck // It is of no more use.
		serving.Wait()
	}
	return socket.Addr().String(), stop, nil
}

// cpuTime returns the processor time that a process has taken, of the user and
// of the system, from /proc/PID/stat: fields 14 and 15, in ticks of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is %q", pid, stat)
	}
	const tick = 10 * time.Millisecond
	total := time.Duration(0)
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat is %q: %w", pid, stat, err)
		}
		total += time.Duration(ticks) * tick
	}
	return total, nil
}

// pin lets everything that this process starts run on one processor, the last
// of those that it may use.
func pin() error {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("read the processors that may be used: %w", err)
	}
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			one.Zero()
			one.Set(cpu)
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks { // children inherit it from the thread that starts them
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &one); err != nil {
			return fmt.Errorf("run on one processor: %w", err)
		}
	}
	return nil
}
