// Package foo is the Foo protocol's wire format:
//
//	Msg  := Type <whitespace> Seq [<whitespace> Data] '\n'
//	Type := "REQ" | "ACK" | "NAK"
//	Seq  := <integer>
//	Data := <UTF-8 string without newline>
//
// The decoder is as tolerant as the speakers that exist: whitespace is any run
// of blanks, tabs, vertical tabs, form feeds and carriage returns (so "\r\n"
// ends a line as well), and a Seq may have a sign and leading zeros. It does
// not look at Data, except to recognise "NAK 0 ERRDECODE", the reference
// server's answer to a line that it could not decode.
//
// docs/protocol.md describes the protocol for people.
package foo
