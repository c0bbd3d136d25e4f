// Command bench measures what watching a sidecar costs: the processor time that
// the sidecar takes for a request and its answer, with and without somebody who
// looks. Server, sidecar and load are processes of their own, the subjects take
// turns, and what counts is the ratio within a round, because machines are
// noisy.
//
//	go run ./test/bench
//
// It needs Linux, for the processor time of another process. All of them run on
// one processor, where a figure repeats within a few percent; with -spread the
// system places them.
package main
