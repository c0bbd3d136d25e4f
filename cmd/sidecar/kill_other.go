//go:build !unix

package main

import (
	"fmt"
	"io"
)

// runKill exists where there are no signals to send only so that the rest of
// the program need not know the difference.
func runKill(_ []string, _, stderr io.Writer) int {
	fmt.Fprintln(stderr, "kill: this system has no signals")
	return 1
}
