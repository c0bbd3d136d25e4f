//go:build !linux

package proxy

import "net"

// loops are the event loops of a listener: on this system there are none.
type loops struct{}

func (*loops) stop() {}

// newDriver returns what carries a session with a client.
func (l *Listener) newDriver(conn net.Conn, s *Settings, observer Observer, ended func()) driver {
	return newRelay(l, conn, s, observer, ended)
}
