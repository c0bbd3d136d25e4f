// Package sidecar makes the running process match its configuration: it opens
// and drains listeners, replaces upstreams, saves and restores what was
// counted, and answers for the state of it all. Mechanism is in the packages
// that it puts together; here is what to do when.
//
//	err := sidecar.Run(ctx, sidecar.Options{Config: config.Options{File: file}, Log: log, Stdout: os.Stdout})
//
// A change of the configuration touches only what differs. It is prepared
// first, which can fail, and nothing has changed then; and put in force after
// that, which can't.
//
// # Shutdown
//
// When ctx ends, Run ends the sidecar in this order:
//
//  1. /status turns not ready.
//  2. Everything goes on for drain.delay, so that the news can spread.
//  3. No more connections are accepted.
//  4. Each connection ends as soon as its outstanding requests are answered,
//     for at most drain.timeout.
//  5. Connections that are left are cut: what is still outstanding is answered
//     with NAK.
//  6. The last checkpoint is saved.
//  7. The last spans and metrics are sent, for at most a second.
//  8. The HTTP server ends.
package sidecar
