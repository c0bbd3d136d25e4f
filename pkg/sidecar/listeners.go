package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/foo-protocol/foo-sidecar/config"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// listeners are the listeners that run, and the sockets that they accept from.
// A socket outlives a listener whose address another one takes over, so that
// nobody is refused in between.
type listeners struct {
	mu      sync.Mutex // guards the fields below; nothing blocks under it
	running map[string]*listener
	sockets map[string]net.Listener // by socketKey
	leaving map[*proxy.Listener]struct{}
}

// listener is one listener that runs.
type listener struct {
	config config.Listener
	socket net.Listener
	proxy  *proxy.Listener
	stop   context.CancelFunc // ends accepting
	done   chan struct{}      // closed when accepting has ended
}

// socketKey names the socket of a listener: its address, or where any port will
// do, the listener's own.
func socketKey(l config.Listener) string {
	if strings.HasSuffix(l.Address, ":0") {
		return l.Address + " " + l.Name
	}
	return l.Address
}

// socketPlan is the sockets that a change needs, with the new ones opened.
type socketPlan struct {
	opened map[string]net.Listener
}

// plan opens the sockets that are missing for the listeners that are wanted.
func (ls *listeners) plan(ctx context.Context, wanted []config.Listener) (*socketPlan, error) {
	p := &socketPlan{opened: make(map[string]net.Listener)}
	var errs []error
	for i, l := range wanted {
		ls.mu.Lock()
		_, open := ls.sockets[socketKey(l)]
		ls.mu.Unlock()
		if open {
			continue
		}
		socket, err := listen(ctx, l.Address, fs.FileMode(l.SocketMode))
		if err != nil {
			errs = append(errs, fmt.Errorf("listeners[%d] %s: %w", i, l.Name, err))
			continue
		}
		p.opened[socketKey(l)] = socket
	}
	if len(errs) > 0 {
		p.abandon()
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// abandon closes what was opened for a change that will not be.
func (p *socketPlan) abandon() {
	for _, socket := range p.opened {
		socket.Close()
	}
}

// listen opens a socket.
func listen(ctx context.Context, address string, mode fs.FileMode) (net.Listener, error) {
	network, rest := config.SplitAddress(address)
	if network == "unix" {
		if err := removeStaleSocket(ctx, rest); err != nil {
			return nil, err
		}
	}
	// Whoever accepts sets the keep-alive that is configured.
	socket, err := (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, network, rest)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", address, err)
	}
	if network == "unix" {
		if err := os.Chmod(rest, mode); err != nil {
			socket.Close()
			return nil, fmt.Errorf("set the mode of %s: %w", address, err)
		}
	}
	return socket, nil
}

// removeStaleSocket removes the file of a Unix socket on which nobody listens
// any more, because its process was killed. It touches nothing else.
func removeStaleSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil //nolint:nilerr // There is no socket to remove; opening one tells the rest.
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("open unix:%s: another process listens there", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("open unix:%s: a socket is there already: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the socket of a process that is gone: %w", err)
	}
	return nil
}

// setListeners makes the listeners that run those of a change.
func (s *sidecar) setListeners(ctx context.Context, c *change) {
	ls := &s.listeners
	ls.mu.Lock()
	if ls.running == nil {
		ls.running = make(map[string]*listener)
		ls.sockets = make(map[string]net.Listener)
		ls.leaving = make(map[*proxy.Listener]struct{})
	}
	maps.Copy(ls.sockets, c.sockets.opened)
	old := ls.running
	ls.mu.Unlock()

	wanted := make(map[string]config.Listener)
	for _, l := range c.config.Listeners {
		wanted[l.Name] = l
	}
	// First everybody leaves the sockets that are not theirs any more, so that
	// others can take them.
	var removed []*listener
	for name, l := range old {
		w, stays := wanted[name]
		if !stays {
			removed = append(removed, l)
		}
		if !stays || socketKey(w) != socketKey(l.config) {
			l.stopAccepting()
		}
	}
	running := make(map[string]*listener)
	var names []string
	for _, w := range c.config.Listeners {
		names = append(names, w.Name)
		running[w.Name] = s.setListener(ctx, old[w.Name], w, c)
	}
	s.registry.Retain(names)

	ls.mu.Lock()
	ls.running = running
	unused := maps.Clone(ls.sockets)
	for _, w := range c.config.Listeners {
		delete(unused, socketKey(w))
	}
	for key, socket := range unused {
		delete(ls.sockets, key)
		socket.Close()
	}
	ls.mu.Unlock()
	for _, l := range removed {
		s.remove(ctx, l, time.Duration(c.config.Drain.Timeout))
	}
}

// setListener makes one listener run as wanted. Old is the one of that name
// that runs, or nil.
func (s *sidecar) setListener(ctx context.Context, old *listener, w config.Listener, c *change) *listener {
	settings := s.settings(w, c.config)
	socket := s.listeners.socket(w)
	if old != nil && old.socket == socket {
		if w.SocketMode != old.config.SocketMode {
			s.changeMode(w)
		}
		old.proxy.Configure(settings)
		return &listener{config: w, socket: socket, proxy: old.proxy, stop: old.stop, done: old.done}
	}
	l := &listener{config: w, socket: socket, done: make(chan struct{})}
	if old != nil { // another address, and the sessions stay
		l.proxy = old.proxy
		l.proxy.Configure(settings)
	} else {
		l.proxy = proxy.NewListener(proxy.ListenerOptions{
			Protocol: foo.Protocol{},
			Observer: s.observer(w.Name),
			LastID:   &s.observation.sessions,
			Now:      s.now,
			Log:      s.log.WithName("listener").WithValues("listener", w.Name),
		}, settings)
	}
	accepting, stop := context.WithCancel(ctx)
	l.stop = stop
	s.group.Go(func() error {
		defer close(l.done)
		if err := l.proxy.Serve(accepting, socket); err != nil {
			return fmt.Errorf("listener %s: %w", w.Name, err)
		}
		return nil
	})
	s.log.Info("listening", "listener", w.Name, "address", boundAddress(socket), "upstream", w.Upstream)
	return l
}

// changeMode sets the mode of a Unix socket that stays.
func (s *sidecar) changeMode(w config.Listener) {
	if network, path := config.SplitAddress(w.Address); network == "unix" {
		if err := os.Chmod(path, fs.FileMode(w.SocketMode)); err != nil {
			s.log.Error(err, "cannot change the mode of a socket", "listener", w.Name)
		}
	}
}

// settings translates what the configuration says of a listener.
func (s *sidecar) settings(l config.Listener, cfg config.Config) proxy.Settings {
	settings := proxy.Settings{
		Upstream:       s.upstreams.get(l.Upstream),
		MaxConnections: l.MaxConnections,
		IdleTimeout:    time.Duration(l.IdleTimeout),
		KeepAlive:      time.Duration(l.KeepAlive),
		Policy: proxy.Policy{
			CloseOnLoss:     l.OnLoss == config.OnLossClose,
			RejectMalformed: l.OnMalformed == config.OnMalformedReject,
		},
	}
	settings.Policy.Carrier, settings.Policy.Propagation = s.propagation(cfg.Telemetry)
	for _, u := range cfg.Upstreams {
		if u.Name == l.Upstream {
			settings.Policy.Budget = time.Duration(u.ConnectBudget)
			settings.Policy.Backoff = proxy.Backoff{
				Initial: time.Duration(u.Backoff.Initial),
				Max:     time.Duration(u.Backoff.Max),
			}
		}
	}
	return settings
}

// remove drains a listener that is not wanted any more.
func (s *sidecar) remove(ctx context.Context, l *listener, timeout time.Duration) {
	s.listeners.mu.Lock()
	s.listeners.leaving[l.proxy] = struct{}{}
	s.listeners.mu.Unlock()
	s.log.Info("listener removed, its connections drain", "listener", l.config.Name, "connections", l.proxy.Sessions())
	s.group.Go(func() error {
		finish, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		l.proxy.Drain(finish)
		s.listeners.mu.Lock()
		defer s.listeners.mu.Unlock()
		delete(s.listeners.leaving, l.proxy)
		return nil
	})
}

// socket returns the socket of a listener.
func (ls *listeners) socket(l config.Listener) net.Listener {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.sockets[socketKey(l)]
}

// stopAccepting returns when l accepts no more.
func (l *listener) stopAccepting() {
	l.stop()
	<-l.done
}

// list returns the listeners that run, by name.
func (ls *listeners) list() []*listener {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	list := make([]*listener, 0, len(ls.running))
	for _, name := range slices.Sorted(maps.Keys(ls.running)) {
		list = append(list, ls.running[name])
	}
	return list
}

// stopAccepting stops all listeners and closes their sockets.
func (ls *listeners) stopAccepting() {
	for _, l := range ls.list() {
		l.stopAccepting()
	}
	ls.closeSockets()
}

func (ls *listeners) closeSockets() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, socket := range ls.sockets {
		socket.Close()
	}
	clear(ls.sockets)
}

// drain ends the sessions of all listeners, also of those that were removed and
// drain already.
func (ls *listeners) drain(ctx context.Context) {
	var draining sync.WaitGroup
	for _, l := range ls.list() {
		draining.Go(func() { l.proxy.Drain(ctx) })
	}
	ls.mu.Lock()
	for l := range ls.leaving {
		draining.Go(func() { l.Drain(ctx) })
	}
	ls.mu.Unlock()
	draining.Wait()
}

// sessions returns the number of sessions that are open.
func (ls *listeners) sessions() (n int) {
	for _, l := range ls.list() {
		n += l.proxy.Sessions()
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for l := range ls.leaving {
		n += l.Sessions()
	}
	return n
}

// boundAddress is where a socket really is, in the form of the configuration.
func boundAddress(socket net.Listener) string {
	if addr := socket.Addr(); addr.Network() == "unix" {
		return "unix:" + addr.String()
	}
	return socket.Addr().String()
}
