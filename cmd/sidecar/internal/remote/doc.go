// Package remote asks sidecars over their admin port, which is all that the
// commands for people need: the statistics, the events of the status page, and
// the tap.
//
//	address, err := remote.ParseAddress("10.0.0.7:8088")
//	...
//	line, err := remote.New(address).Stats(ctx)
//
// It changes nothing in a sidecar, and prints nothing.
package remote
