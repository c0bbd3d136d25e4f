// Package e2e tests the real programs together: the sidecar, built as it is
// shipped, between the test driver's server and client, over real sockets and
// with real signals. What the sidecar reports is compared with what the client
// and the server counted, to the message.
package e2e
