package proxy

import (
	"context"
	"net"
	"time"
)

// reach dials once, after the pause that is ordered.
func reach(ctx context.Context, dial func(context.Context) (net.Conn, error), orders Orders) (net.Conn, error) {
	if orders.DialBefore > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, orders.DialBefore)
		defer cancel()
	}
	if orders.DialAfter > 0 {
		pause := time.NewTimer(orders.DialAfter)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return dial(ctx)
}

// newConnection returns what is known of a connection that was dialed.
func newConnection(conn net.Conn) *Connection {
	c := &Connection{Remote: conn.RemoteAddr()}
	if named, ok := conn.(interface{ Endpoint() string }); ok {
		c.Endpoint = named.Endpoint()
	}
	return c
}
