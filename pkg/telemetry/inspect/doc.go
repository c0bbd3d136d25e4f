// Package inspect looks at pairs one by one, where the rest of telemetry only
// counts them.
//
// An [Inspector] tells the sessions which pairs it wants to see, by their
// outcome: those that failed, those that were slow, a share of the others, and
// what somebody watches. It decides in the session's own call whether there is
// room for a pair, so that a storm costs no more than a calm; what is left goes
// through a queue that never blocks, and one goroutine makes a [Record] of each:
// for the tracer, the access log, the flight recorder and whoever taps. A pair
// that nobody wants costs a comparison.
//
//	inspector := inspect.New(inspect.Options{Now: clock, P99: history.P99})
//	inspector.Configure(inspect.Settings{Ratio: 0.01, PerSecond: 100, Tracer: tracer})
//	go inspector.Run(ctx)
//	...
//	session.Observer = inspector.Session("default", info, recorder.Observer())
//
// What is left out is not lost to arithmetic. A pair that is chosen by chance
// stands for as many as the chance says, and the next pair of its class stands
// for those that found no room as well: [Record.AdjustedCount]. The sum over all
// spans of a class is the number of pairs of that class, but for what is owed to
// the next one.
//
// Data of messages is captured and shown only while [Settings.ShowPayload] is
// set, and never in the access log nor in spans.
package inspect
