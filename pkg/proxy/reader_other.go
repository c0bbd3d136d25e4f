//go:build !unix

package proxy

// useRaw does nothing: on this system reading has to wait with a buffer in
// hand.
func (r *reader) useRaw() {}
