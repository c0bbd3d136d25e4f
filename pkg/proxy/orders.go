package proxy

import "time"

// Policy is how sessions behave. The zero Policy keeps a client whose upstream
// is lost, passes malformed messages on, and gives a dial no second try within
// the time that a client is kept waiting.
type Policy struct {
	// CloseOnLoss ends a session with its upstream connection, as a plain proxy
	// would. Otherwise the client stays, what is outstanding is refused, and the
	// session goes on over a new connection.
	CloseOnLoss bool
	// RejectMalformed answers a client's malformed message instead of passing it
	// on.
	RejectMalformed bool
	// Budget is how long a client waits for an upstream connection before its
	// requests are refused. Zero means for one attempt.
	Budget time.Duration
	// Carrier finds trace contexts in requests, for Propagation. Nil means that
	// nobody looks for any, and requests are passed on as they are.
	Carrier Carrier
	// Propagation is what is done with them.
	Propagation Propagation
	// Backoff is the pause between attempts to reach the upstream.
	Backoff Backoff
}

// Unavailable is the text of a refusal for want of an upstream connection.
const Unavailable = "upstream unavailable"

// Draining is the text of a refusal at the end of draining.
const Draining = "sidecar draining"

// Orders is what a driver has to do after an event. The zero Orders is
// nothing.
type Orders struct {
	// Pass are the bytes to write to the other side, in this order. They stay
	// valid until the next event of the side that they came from.
	Pass [3][]byte
	// Flush: call [Session.TakeReply] and write what it returns to the client.
	Flush bool
	// EndClient and EndUpstream: shut down writing to that side, after all that
	// was passed to it. Report the former with [Session.ClientTold].
	EndClient, EndUpstream bool
	// DropUpstream: close the upstream connection.
	DropUpstream bool
	// Dial: connect to the upstream after the pause DialAfter, and give up at
	// DialBefore from now, unless that is zero. Report Connected or DialFailed.
	Dial                  bool
	DialAfter, DialBefore time.Duration
	// Linger: report Cut if the client has not ended its connection shortly.
	Linger bool
	// Close: close both connections, without waiting for anything; the session
	// has ended.
	Close bool
}
