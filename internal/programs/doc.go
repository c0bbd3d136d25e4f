// Package programs builds the programs of this repository, the sidecar and the
// test driver foo, and runs them as processes: it starts them, collects what they
// write, waits for lines of their logs and reads what they report.
//
// It knows them as people do, by their flags, their output and their ports, and
// imports none of their code, so that what it says of them is what they say. It
// takes a context and returns errors; tests have package programstest.
package programs
