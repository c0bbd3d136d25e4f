// Package format writes numbers, times and pairs for people to read on a
// terminal. What a sidecar says of others is made safe to print on the way.
package format
