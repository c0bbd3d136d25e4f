package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// avoidTime is how long an endpoint that could not be reached is tried after
// the others.
const avoidTime = 10 * time.Second

// An endpoint that comes and goes is logged at most logChanges times in a
// logInterval.
const (
	logChanges  = 4
	logInterval = 10 * time.Second
)

// Options configures an Upstream.
type Options struct {
	// Name is what logs and statistics call the upstream.
	Name string
	// Addresses are the endpoints, at least one: "host:port", where no host means
	// this machine, or "unix:/path". A name with several IP addresses is looked up
	// at each dial, and its addresses are tried in turn.
	Addresses []string
	// ConnectTimeout bounds the attempt at one endpoint. Zero means 3 s.
	ConnectTimeout time.Duration
	// KeepAlive is the interval of TCP keep-alive probes. Zero means none.
	KeepAlive time.Duration
	// Dial replaces the dialing of one address, for tests. Nil means the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the wall clock. Nil means the real one.
	Now func() time.Time
	// Log is told when an endpoint stops or starts being reachable. The zero
	// Logger discards.
	Log logr.Logger
}

// Upstream is a set of endpoints that all give the same service. It is safe
// for concurrent use.
type Upstream struct {
	options   Options
	endpoints []*endpoint
	next      atomic.Uint64 // endpoint to try first
	open      atomic.Int64
	sockets   bool
}

// endpoint is one configured address and what became of the dials to it.
type endpoint struct {
	network, address string

	mu    sync.Mutex // guards the fields below; nothing blocks under it
	stats EndpointStats

	// What the log was told: the last state, the failures by then, and how often in
	// this interval.
	toldDown   bool
	toldFailed int64
	toldSince  time.Time
	told       int
}

// New returns an Upstream. It dials nothing yet.
func New(o Options) *Upstream {
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 3*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	sockets := o.Dial == nil
	if sockets {
		o.Dial = (&net.Dialer{
			KeepAlive:       -1, // the configuration decides, not the default
			KeepAliveConfig: net.KeepAliveConfig{Enable: o.KeepAlive > 0, Idle: o.KeepAlive, Interval: o.KeepAlive},
		}).DialContext
	}
	u := &Upstream{options: o, sockets: sockets}
	for _, a := range o.Addresses {
		e := &endpoint{network: "tcp", address: a, stats: EndpointStats{Address: a}}
		if path, ok := strings.CutPrefix(a, "unix:"); ok {
			e.network, e.address = "unix", path
		}
		u.endpoints = append(u.endpoints, e)
	}
	return u
}

// DialsSockets reports that all connections are plain sockets, unless
// [Options.Dial] makes something else.
func (u *Upstream) DialsSockets() bool { return u.sockets }

// Dial connects to an endpoint: each call begins with the next one, and goes
// on to the others if that can't be reached. The error names them all.
func (u *Upstream) Dial(ctx context.Context) (net.Conn, error) {
	var errs []error
	for _, e := range u.order() {
		conn, err := u.dial(ctx, e)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("upstream %s: %w", u.options.Name, errors.Join(errs...))
}

// order returns the endpoints in the order in which to try them.
func (u *Upstream) order() []*endpoint {
	n := uint64(len(u.endpoints))
	first := u.next.Add(1) - 1
	order := make([]*endpoint, 0, n)
	var failing []*endpoint
	now := u.options.Now()
	for i := range n {
		e := u.endpoints[(first+i)%n]
		e.mu.Lock()
		avoid := e.stats.LastError != "" && now.Sub(e.stats.LastFailure) < avoidTime
		e.mu.Unlock()
		if avoid {
			failing = append(failing, e)
		} else {
			order = append(order, e)
		}
	}
	return append(order, failing...)
}

// dial makes one attempt at one endpoint.
func (u *Upstream) dial(ctx context.Context, e *endpoint) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	attempt, cancel := context.WithTimeout(ctx, u.options.ConnectTimeout)
	defer cancel()
	conn, err := u.options.Dial(attempt, e.network, e.address)
	if errors.Is(ctx.Err(), context.Canceled) { // nobody waits for it any more; it says nothing of the endpoint
		if err == nil {
			conn.Close()
		}
		return nil, ctx.Err()
	}
	u.note(e, err)
	if err != nil {
		return nil, err
	}
	return u.count(conn, e.stats.Address), nil
}

// note remembers how an attempt ended, and logs it if the endpoint is in another
// state than the log says.
func (u *Upstream) note(e *endpoint, err error) {
	now := u.options.Now()
	e.mu.Lock()
	if err != nil {
		e.stats.Failed++
		e.stats.LastError, e.stats.LastFailure = err.Error(), now
	} else {
		e.stats.Dialed++
		e.stats.LastError = ""
	}
	if now.Sub(e.toldSince) >= logInterval {
		e.toldSince, e.told = now, 0
	}
	tell := e.toldDown != (err != nil) && e.told < logChanges
	failed := e.stats.Failed - e.toldFailed
	if tell {
		e.told++
		e.toldDown, e.toldFailed = err != nil, e.stats.Failed
	}
	e.mu.Unlock()
	if !tell {
		return
	}
	log := u.options.Log.WithValues("upstream", u.options.Name, "endpoint", e.stats.Address, "failures", failed)
	if err != nil {
		log.Error(err, "upstream endpoint cannot be reached")
	} else {
		log.Info("upstream endpoint reached again")
	}
}

// count makes conn a connection that counts as open until it is closed, and
// that knows the endpoint's address as configured.
func (u *Upstream) count(conn net.Conn, endpoint string) net.Conn {
	u.open.Add(1)
	counted := counted{address: endpoint, closed: sync.OnceFunc(func() { u.open.Add(-1) })}
	switch c := conn.(type) {
	case *net.TCPConn:
		return tcpConn{c, counted}
	case *net.UnixConn:
		return unixConn{c, counted}
	}
	return plainConn{conn, counted}
}

// counted is what a connection has beside its methods.
type counted struct {
	address string
	closed  func()
}

// Endpoint returns the address as configured.
func (c counted) Endpoint() string { return c.address }

// The three kinds of connection keep the methods of what they wrap, so that
// they can be half closed and waited for.
type (
	tcpConn struct {
		*net.TCPConn
		counted
	}
	unixConn struct {
		*net.UnixConn
		counted
	}
	plainConn struct {
		net.Conn
		counted
	}
)

// Detach returns the connection without its count, and what ends that.
func (c tcpConn) Detach() (net.Conn, func()) { return c.TCPConn, c.closed }

// Detach returns the connection without its count, and what ends that.
func (c unixConn) Detach() (net.Conn, func()) { return c.UnixConn, c.closed }

func (c tcpConn) Close() error   { c.closed(); return c.TCPConn.Close() }
func (c unixConn) Close() error  { c.closed(); return c.UnixConn.Close() }
func (c plainConn) Close() error { c.closed(); return c.Conn.Close() }

// Stats returns what happened so far.
func (u *Upstream) Stats() Stats {
	s := Stats{Name: u.options.Name, Open: u.open.Load()}
	for _, e := range u.endpoints {
		e.mu.Lock()
		s.Endpoints = append(s.Endpoints, e.stats)
		e.mu.Unlock()
	}
	return s
}
