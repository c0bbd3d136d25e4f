// Command foo is the test driver for the Foo protocol: a server, a client, a
// load generator, and a demonstration of the sidecar between them.
//
//	foo serve -listen :8001
//	foo call -connect localhost:8002 hello
//	foo load -connect localhost:8002 -connections 16 -pipeline 32 -duration 10s
//	foo demo --sidecar bin/sidecar
//
// Exit codes: 0 if all went well, 1 for a failure, 2 for a command line that
// makes no sense, and 3 if foo call was answered with a NAK.
package main
