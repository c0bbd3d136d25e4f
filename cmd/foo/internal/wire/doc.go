// Package wire is what the test driver's server and clients share: addresses,
// and a reader of whole messages. The sidecar's own relay never needs a whole
// message; who looks at Data does.
package wire
