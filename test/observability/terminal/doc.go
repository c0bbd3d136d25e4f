// Package terminal holds tests of the commands for people, "sidecar top", "sidecar
// tap" and "sidecar stats", on a real terminal: a pseudo-terminal of the system,
// with an emulator that knows what its screen shows, and real sidecars under
// load.
package terminal
