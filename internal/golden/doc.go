// Package golden compares what a test made with a file of the repository, or
// writes the file if the test is run with -update. It is for tests only.
package golden
