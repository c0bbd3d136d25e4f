// Package demo shows the sidecar at work: a Foo server and a client that keeps
// talking run in this process, the sidecar between them as a child process.
//
// It ends in this order, however it ends:
//
//  1. the client stops sending and waits for its last answers;
//  2. the sidecar's statistics are read for the last time;
//  3. the sidecar is told to stop, and killed if it takes too long;
//  4. the server stops.
package demo
