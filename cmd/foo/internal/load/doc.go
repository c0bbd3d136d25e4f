// Package load is a Foo client that sends many requests, checks that every
// answer belongs to its request, and measures.
//
// Without a rate it is a closed loop: each connection keeps as many requests
// outstanding as it may, and latency is counted from the time of sending. A
// server that stalls is then sent less, so its stall shows in few latencies.
//
// With a rate it is an open loop: every request has a time at which it is to
// be sent, independent of the answers, and latency is counted from that time,
// also when the request could be sent only later. A stall shows in all of the
// requests that it held up, as it does to those who wait. Only the imprecision
// of this program's own timers is left out, see [Result.Overslept].
//
// Every request ends as exactly one of acked, naked, wrong or unanswered.
package load
