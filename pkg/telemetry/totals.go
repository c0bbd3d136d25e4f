package telemetry

import (
	"fmt"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// maxTotal bounds a total that is restored, so that adding some up cannot
// overflow.
const maxTotal = 1 << 59

// eachCounter calls do with every counter of c and the name by which a
// checkpoint knows it. The names are a file format: a counter that is renamed
// starts at zero after an update.
func eachCounter(c *proxy.Counts, do func(name string, counter *int64)) {
	do("requests", &c.Requests)
	do("positives", &c.Positives)
	do("negatives", &c.Negatives)
	do("server_requests", &c.ServerRequests)
	do("client_answers", &c.ClientAnswers)
	do("acked", &c.Acked)
	do("naked", &c.Naked)
	do("unmatched", &c.Unmatched)
	for r := range proxy.NumRefusals {
		do("refused_"+r.String(), &c.Refused[r])
	}
	for u := range proxy.NumUnanswered {
		do("unanswered_"+u.String(), &c.Unanswered[u])
	}
	for side := range proxy.NumSides {
		for f := range protocol.NumFaults {
			do("malformed_"+side.String()+"_"+f.String(), &c.Malformed[side][f])
		}
		for q := range protocol.NumQuirks {
			do("quirk_"+side.String()+"_"+q.String(), &c.Quirks[side][q])
		}
		do("bytes_"+side.String(), &c.Bytes[side])
	}
	do("duplicate_seqs", &c.DuplicateSeqs)
	do("non_ascending", &c.NonAscending)
	do("opened", &c.Opened)
	for r := proxy.ClosedByClient; r < proxy.NumCloseReasons; r++ {
		do("closed_"+r.String(), &c.Closed[r])
	}
	do("queued", &c.Queued)
	do("dequeued", &c.Dequeued)
	do("rejected", &c.Rejected)
	do("accept_errors", &c.AcceptErrors)
	do("dialed", &c.Dialed)
	do("dial_failures", &c.DialFailures)
	do("lost", &c.Lost)
}

// Totals returns the counters that are not zero by their names in a checkpoint.
func Totals(c proxy.Counts) map[string]int64 {
	totals := make(map[string]int64)
	eachCounter(&c, func(name string, counter *int64) {
		if *counter != 0 {
			totals[name] = *counter
		}
	})
	return totals
}

// FromTotals returns the counts of which [Totals] made the given totals. Names
// that it does not know, as of a later version, are ignored.
func FromTotals(totals map[string]int64) (proxy.Counts, error) {
	var c proxy.Counts
	var err error
	eachCounter(&c, func(name string, counter *int64) {
		*counter = totals[name]
		if err == nil && (*counter < 0 || *counter > maxTotal) {
			err = fmt.Errorf("total %s is %d, must be from 0 to %d", name, *counter, int64(maxTotal))
		}
	})
	if err != nil {
		return proxy.Counts{}, err
	}
	if n := c.InFlight(); n < 0 {
		return proxy.Counts{}, fmt.Errorf("totals say that %d more requests ended than came", -n)
	}
	if n := c.Sessions(); n < 0 {
		return proxy.Counts{}, fmt.Errorf("totals say that %d more connections were closed than opened", -n)
	}
	if n := c.Waiting(); n < 0 {
		return proxy.Counts{}, fmt.Errorf("totals say that %d more connections ceased to wait than began", -n)
	}
	return c, nil
}

// endWithProcess ends what was still going on when the process died that
// counted c, so that the sums hold for the next one.
func endWithProcess(c *proxy.Counts) {
	c.Unanswered[proxy.UnansweredRestart] += c.InFlight()
	c.Closed[proxy.ClosedRestart] += c.Sessions()
	c.Dequeued += c.Waiting()
}
