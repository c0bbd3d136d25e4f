// Package proxy carries traffic between clients and an upstream: listeners
// that accept clients, sessions that join a client with an upstream
// connection, and the pairing of requests with their answers.
//
// The heart is [Session], a state machine without I/O and without a clock: it
// is told what happened on either side and says what to do. Drivers move the
// bytes. So the whole behaviour can be tested and fuzzed without sockets, and
// a faster driver need not know any of it.
//
// The package knows no particular protocol (see pkg/protocol), no endpoints
// (it is given something that dials) and no metrics (it reports to an
// [Observer]).
package proxy
