package load

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// Counts is what is counted during a run.
type Counts struct {
	// Opened are the connections that were opened, Failed the attempts that
	// failed. Lost are those of Opened that ended before they were done.
	Opened, Failed, Lost int64
	// Sent are the requests that were written to the end. Each ends as one of
	// ACKs, NAKs, Wrong and Unanswered.
	Sent, ACKs, NAKs int64
	// Wrong are the requests whose answer carries the words of another one.
	Wrong int64
	// Unanswered are the requests whose connection was lost, or whose answer
	// did not come in time.
	Unanswered int64
	// Unexpected are the messages that answer no outstanding request.
	Unexpected int64
	// BytesSent and BytesReceived are those of whole messages.
	BytesSent, BytesReceived int64
}

func (c *Counts) add(o Counts) {
	c.Opened += o.Opened
	c.Failed += o.Failed
	c.Lost += o.Lost
	c.Sent += o.Sent
	c.ACKs += o.ACKs
	c.NAKs += o.NAKs
	c.Wrong += o.Wrong
	c.Unanswered += o.Unanswered
	c.Unexpected += o.Unexpected
	c.BytesSent += o.BytesSent
	c.BytesReceived += o.BytesReceived
}

// Outstanding is how many requests have not ended.
func (c Counts) Outstanding() int64 { return c.Sent - c.ACKs - c.NAKs - c.Wrong - c.Unanswered }

// Result is the outcome of a run.
type Result struct {
	Counts
	// NAKTexts counts the NAKs that carry another text than their request's
	// Data, by that text. Rare texts are added up as [OtherTexts].
	NAKTexts map[string]int64
	// NotSent are the planned requests that were not sent, because connections
	// failed or time was up. A run that was interrupted has none.
	NotSent int64
	// Elapsed is the time from the first request to the last answer.
	Elapsed time.Duration
	// Latency is that of all answers but the wrong ones.
	Latency telemetry.Histogram
	// Overslept is by how much, at most, a request of an open loop was sent late
	// by nobody's fault but this program's. It is not part of Latency.
	Overslept time.Duration
	// ConnectError is the first failure to connect, if there was one.
	ConnectError error
}

// Complete reports whether something was sent, every request was answered by
// its own answer, and nothing else was received.
func (r *Result) Complete() bool {
	return r.Sent > 0 && r.Wrong == 0 && r.Unanswered == 0 && r.Unexpected == 0 && r.NotSent == 0
}

// Throughput is the number of answered requests a second.
func (r *Result) Throughput() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.ACKs+r.NAKs) / r.Elapsed.Seconds()
}

// Bounds on the texts of NAKs that are remembered.
const (
	maxTexts    = 8
	maxTextSize = 80
)

// OtherTexts stands for the texts of NAKs that are not listed.
const OtherTexts = "(other)"

// texts counts texts, few different ones. The counters are pointers so that
// counting a known text does not allocate.
type texts map[string]*int64

// add counts a text.
func (t texts) add(text []byte) {
	text = text[:min(len(text), maxTextSize)]
	if n, known := t[string(text)]; known {
		*n++
		return
	}
	key := string(text)
	if len(t) >= maxTexts {
		key = OtherTexts
	}
	if t[key] == nil {
		t[key] = new(int64)
	}
	*t[key]++
}

// addTo adds the counters to sums.
func (t texts) addTo(sums map[string]int64) {
	for text, n := range t {
		sums[strings.ToValidUTF8(text, "\uFFFD")] += *n
	}
}

// keepFrequent leaves the most frequent texts and adds up the others.
func keepFrequent(sums map[string]int64) {
	byCount := slices.SortedFunc(maps.Keys(sums), func(a, b string) int {
		return cmp.Or(cmp.Compare(sums[b], sums[a]), cmp.Compare(a, b))
	})
	others := int64(0)
	for _, text := range byCount[min(maxTexts, len(byCount)):] {
		others += sums[text]
		delete(sums, text)
	}
	if others > 0 {
		sums[OtherTexts] += others
	}
}
