//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench needs Linux, for what /proc tells of other processes")
	os.Exit(1)
}
