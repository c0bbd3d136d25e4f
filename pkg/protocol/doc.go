// Package protocol says what a message is, so that everything which pairs,
// counts and times exchanges need not know which protocol it looks at. One
// subpackage holds one wire protocol.
//
// A [Decoder] is fed the bytes of one direction of one connection, in chunks
// of any size, and reports where messages end and what they are. It sees bytes
// only: it reads no clock, opens no connection and logs nothing.
package protocol
