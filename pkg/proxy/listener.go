package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
)

// Dialer reaches the upstream. Its connections belong to the caller.
type Dialer interface {
	Dial(ctx context.Context) (net.Conn, error)
}

// SocketDialer is a Dialer that can tell that all of its connections are plain
// sockets, with no encryption or counting in between: an event loop can take
// these over, where the system has one. What they have beside their methods is
// asked for with an interface { Detach() (net.Conn, func()) }, whose function is
// called when the socket is closed.
type SocketDialer interface {
	Dialer
	DialsSockets() bool
}

// driver carries one session, from its beginning to its end.
type driver interface {
	// begin tells the session that its client has connected.
	begin() Orders
	// start begins to carry, with the orders that begin returned.
	start(orders Orders)
	// drain lets the session end when nothing is outstanding. It may block for as
	// long as a peer does not read.
	drain()
	// cut ends the session now, or in a moment, when its client knows.
	cut()
	// oldest returns when the oldest outstanding request came, if there is one.
	oldest() (time.Duration, bool)
}

// ListenerOptions configures a Listener for its life.
type ListenerOptions struct {
	// Protocol is what is spoken. Required.
	Protocol protocol.Protocol
	// Observer returns whom one more session reports to. Required. It is called
	// once with a zero SessionInfo, for what belongs to no session, and
	// concurrently.
	Observer func(SessionInfo) Observer
	// LastID is the ID of the last session, which listeners may share so that no
	// two of their sessions have the same. Nil means one of its own.
	LastID *atomic.Uint64
	// Goroutines makes two goroutines carry each session, even where an event loop
	// could.
	Goroutines bool
	// Now is a clock that never goes backwards. Nil means the real one.
	Now func() time.Duration
	// Log is told of failures to accept. The zero Logger discards.
	Log logr.Logger
}

// Settings is what may change while a Listener runs. A change concerns the
// connections that are accepted after it.
type Settings struct {
	// Upstream is where connections lead. Required. It is the one setting that
	// concerns earlier connections as well, if they need an upstream connection
	// after the change; so where one dials sockets, its successors must, too.
	Upstream Dialer
	// Policy is how sessions behave.
	Policy Policy
	// MaxConnections turns away clients while so many are connected. Zero means
	// no limit.
	MaxConnections int
	// IdleTimeout ends a session on which nothing is outstanding and nothing has
	// moved for so long. Zero means never.
	IdleTimeout time.Duration
	// KeepAlive is the interval of TCP keep-alive probes to clients. Zero means
	// none.
	KeepAlive time.Duration
}

// LimitReached is the text of the refusal of a connection at the limit.
const LimitReached = "connection limit reached"

// Listener accepts clients and runs their sessions.
type Listener struct {
	options  ListenerOptions
	settings atomic.Pointer[Settings]
	events   Observer // for what happens outside sessions

	ctx  context.Context // of the sessions
	cut  context.CancelFunc
	turn chan struct{} // one token for each client that is being turned away

	loops loops

	mu       sync.Mutex // guards the fields below; nothing blocks under it
	sessions map[driver]struct{}
	draining bool
	running  sync.WaitGroup // sessions, and what drains or turns away clients

	full, troubled seldom // what is not logged each time
}

// maxTurnedAway bounds how many clients at a time are told why they are turned
// away. The others are just closed.
const maxTurnedAway = 64

// NewListener returns a Listener that accepts nothing before it serves.
func NewListener(o ListenerOptions, s Settings) *Listener {
	if o.Now == nil {
		start := time.Now()
		o.Now = func() time.Duration { return time.Since(start) }
	}
	if o.LastID == nil {
		o.LastID = new(atomic.Uint64)
	}
	l := &Listener{
		options:  o,
		events:   o.Observer(SessionInfo{}),
		turn:     make(chan struct{}, maxTurnedAway),
		sessions: make(map[driver]struct{}),
	}
	l.ctx, l.cut = context.WithCancel(context.Background())
	context.AfterFunc(l.ctx, l.cutSessions)
	l.Configure(s)
	return l
}

// Configure changes the settings for the connections to come.
func (l *Listener) Configure(s Settings) { l.settings.Store(&s) }

// Serve accepts clients until ctx is done, and then leaves the socket open and
// its sessions running; see Drain. It returns an error if the socket is closed
// under it.
func (l *Listener) Serve(ctx context.Context, socket net.Listener) error {
	if limited, ok := socket.(interface{ SetDeadline(time.Time) error }); ok {
		woken := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			limited.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // A closed socket ends Accept as well.
			close(woken)
		})
		defer func() {
			if !stop() {
				<-woken
			}
			limited.SetDeadline(time.Time{}) //nolint:errcheck // The next user of the socket will notice.
		}()
	}
	failures := 0
	for {
		conn, err := socket.Accept()
		switch {
		case err == nil:
			if failures > 0 {
				l.options.Log.Info("accepting connections again", "address", socket.Addr().String(), "failures", failures)
				failures = 0
			}
			l.handle(conn)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept on %s: %w", socket.Addr(), err)
		default: // most often no descriptors are left; they come back
			l.observe(Counts{AcceptErrors: 1})
			if failures == 0 {
				l.options.Log.Error(err, "cannot accept connections, trying again", "address", socket.Addr().String())
			}
			failures++
			select {
			case <-time.After(min(5*time.Millisecond<<min(failures, 10), time.Second)):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// handle starts a session with a client that has connected.
func (l *Listener) handle(conn net.Conn) {
	s := l.settings.Load()
	if tcp, ok := conn.(*net.TCPConn); ok {
		keepAlive := net.KeepAliveConfig{Enable: s.KeepAlive > 0, Idle: s.KeepAlive, Interval: s.KeepAlive}
		tcp.SetKeepAliveConfig(keepAlive) //nolint:errcheck // Best effort; a broken connection is noticed by its reader.
	}
	l.mu.Lock()
	if l.draining {
		l.mu.Unlock()
		conn.Close()
		return
	}
	if s.MaxConnections > 0 && len(l.sessions) >= s.MaxConnections {
		if left, now := l.full.now(l.options.Now()); now {
			l.options.Log.Info("connection limit reached, turning clients away", "limit", s.MaxConnections, "suppressed", left)
		}
		l.running.Go(func() { l.turnAway(conn) })
		l.mu.Unlock()
		return
	}
	var d driver
	observer := l.options.Observer(SessionInfo{ID: l.options.LastID.Add(1), Client: conn.RemoteAddr()})
	d = l.newDriver(conn, s, observer, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.sessions, d)
		l.running.Done()
	})
	orders := d.begin()
	l.sessions[d] = struct{}{}
	l.running.Add(1)
	l.mu.Unlock()
	d.start(orders)
}

// dial reaches the upstream that is configured by now, so that a session whose
// upstream is lost goes on with that one.
func (l *Listener) dial(ctx context.Context) (net.Conn, error) {
	return l.settings.Load().Upstream.Dial(ctx)
}

// turnAway tells a client that there is no room for it. What it sends is read
// for a moment, because closing on unread bytes would destroy the message.
func (l *Listener) turnAway(conn net.Conn) {
	defer conn.Close()
	l.observe(Counts{Rejected: 1})
	select {
	case l.turn <- struct{}{}:
	default:
		return
	}
	defer func() { <-l.turn }()
	conn.SetDeadline(time.Now().Add(lingerTime)) //nolint:errcheck // A broken connection shows below.
	if _, err := conn.Write(l.options.Protocol.AppendRefusal(nil, 0, LimitReached)); err != nil {
		return
	}
	l.observe(Counts{Refused: [NumRefusals]int64{RefusedLimit: 1}})
	closeWrite(conn)
	in := make([]byte, 4096)
	for {
		if _, err := conn.Read(in); err != nil {
			return
		}
	}
}

// trouble logs what a session suffers from, as it then befalls many.
func (l *Listener) trouble(err error, msg string) {
	if left, now := l.troubled.now(l.options.Now()); now {
		l.options.Log.Error(err, msg, "suppressed", left)
	}
}

func (l *Listener) observe(c Counts) { l.events.Observe(&Batch{Counts: c, At: l.options.Now()}) }

// Drain lets every session finish what is outstanding and then ends it. When
// ctx is done it ends those that are left, which takes a second at most. It returns when all have ended, and
// the Listener is then of no more use. Serve should have returned before. A
// second call, while the first one waits, can only hurry it.
func (l *Listener) Drain(ctx context.Context) {
	defer l.cut()
	stop := context.AfterFunc(ctx, l.cut)
	defer stop()

	l.mu.Lock()
	l.draining = true
	for d := range l.sessions {
		l.running.Go(d.drain)
	}
	l.mu.Unlock()
	l.running.Wait()
	l.loops.stop()
}

// cutSessions ends all sessions.
func (l *Listener) cutSessions() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	for d := range l.sessions {
		l.running.Go(d.cut)
	}
}

// Oldest returns how long the oldest of the outstanding requests has been
// waiting, zero if there is none.
func (l *Listener) Oldest() (age time.Duration) {
	l.mu.Lock()
	sessions := slices.Collect(maps.Keys(l.sessions))
	l.mu.Unlock()
	for _, d := range sessions {
		if at, ok := d.oldest(); ok {
			age = max(age, l.options.Now()-at)
		}
	}
	return age
}

// Sessions returns the number of sessions that are open.
func (l *Listener) Sessions() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sessions)
}
