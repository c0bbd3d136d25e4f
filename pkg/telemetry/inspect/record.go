package inspect

import (
	"encoding/hex"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// Record is one pair for people and programs to read: a line of the access log,
// of a tap, of /debug/recent. Its JSON is one format for all of them.
type Record struct {
	// When the request came.
	Time time.Time `json:"time"`
	// The listener that it came through.
	Listener string `json:"listener"`
	// Number of the client's connection; the first of a process has 1.
	Session uint64 `json:"session"`
	// The request's Seq.
	Seq int64 `json:"seq"`
	// How it ended: ack, nak, nak_local or unanswered.
	Outcome string `json:"outcome"`
	// Why the sidecar refused it, or why it got no answer; absent otherwise.
	Reason string `json:"reason,omitempty"`
	// Who made the NAK, if there is one: upstream or sidecar.
	NakBy string `json:"nak_by,omitempty"`
	// Time from the end of the request to the end of its answer, or until it was given up.
	Duration float64 `json:"duration_seconds"`
	// How long it had been waiting for an upstream connection before it could be read, at most.
	Wait float64 `json:"wait_seconds"`
	// Attempts to get an upstream connection that had failed by then.
	Retries int `json:"retries"`
	// Size of the request on the wire, in bytes.
	RequestBytes int64 `json:"request_bytes"`
	// Size of the upstream's answer on the wire, in bytes; zero if there is none.
	AnswerBytes int64 `json:"answer_bytes"`
	// The client's address.
	Client string `json:"client"`
	// The upstream's address as configured; absent if there was no connection.
	Server string `json:"server,omitempty"`
	// The address that was connected to; absent if there was no connection.
	Peer string `json:"peer,omitempty"`
	// Why it was looked at: failed, slow, sampled, parent, tapped.
	Why []string `json:"why"`
	// How many pairs like it this one stands for, those that were left out before it included; absent if it was only tapped.
	AdjustedCount float64 `json:"adjusted_count,omitempty"`
	// The span that was made of it; absent if there is none.
	TraceID string `json:"trace_id,omitempty"`
	SpanID  string `json:"span_id,omitempty"`
	// Data of the request and of the answer, cut after some hundred bytes. Absent unless the configuration shows payloads.
	Request *string `json:"request,omitempty"`
	Answer  *string `json:"answer,omitempty"`
}

// ViolationRecord is one breach of the protocol.
type ViolationRecord struct {
	// When it was noticed.
	Time time.Time `json:"time"`
	// The listener and the client's connection.
	Listener string `json:"listener"`
	Session  uint64 `json:"session"`
	Client   string `json:"client"`
	// Who sent it: client or upstream.
	Side string `json:"side"`
	// What is wrong; the names are those of the metrics.
	Kind string `json:"kind"`
	// Where in the bytes of that side the message begins, and how long it is.
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
	// The first bytes of the message, as a quoted Go string; without the payload unless the configuration shows payloads.
	Raw string `json:"raw"`
}

// Recent is what the flight recorder holds, newest first: /debug/recent.
type Recent struct {
	// The last pairs that were refused, by the upstream or by the sidecar, or not answered.
	Failed []Record `json:"failed"`
	// The last pairs that were slow.
	Slow []Record `json:"slow"`
	// The last breaches of the protocol, the last few of each kind.
	Violations []ViolationRecord `json:"violations"`
	// Breaches that were not looked at, because there were too many a second.
	ViolationsLeftOut int64 `json:"violations_left_out"`
	// Whether payloads are shown.
	Payload bool `json:"payload"`
}

// record returns the record of a pair that came at start. What of it is known
// later is left to the caller.
func (it *item) record(start time.Time) *Record {
	p, s := &it.pair, it.session
	r := &Record{
		Time: start, Listener: s.listener, Session: s.info.ID, Seq: p.ID,
		Outcome:  p.Outcome.String(),
		Duration: (p.End - p.Start).Seconds(), Wait: p.Wait.Seconds(), Retries: p.Retries,
		RequestBytes: p.RequestSize, AnswerBytes: p.AnswerSize,
		Client: address(s.info.Client),
		Why:    reasons(p.Why),
	}
	switch p.Outcome {
	case proxy.OutcomeNak:
		r.NakBy = "upstream"
	case proxy.OutcomeRefused:
		r.Reason, r.NakBy = p.Refusal.String(), "sidecar"
	case proxy.OutcomeUnanswered:
		r.Reason = p.Unanswered.String()
	}
	if c := it.connection; c != nil {
		r.Server, r.Peer = c.endpoint, address(c.remote)
	}
	return r
}

// keysAndValues returns a record for a log, by the names of its JSON, without
// payloads.
func (r *Record) keysAndValues() []any {
	kv := []any{
		"time", r.Time, "listener", r.Listener, "session", r.Session, "seq", r.Seq, "outcome", r.Outcome,
		"duration_seconds", r.Duration, "wait_seconds", r.Wait, "retries", r.Retries,
		"request_bytes", r.RequestBytes, "answer_bytes", r.AnswerBytes, "client", r.Client, "why", r.Why,
	}
	for _, optional := range []struct{ key, value string }{
		{"reason", r.Reason}, {"nak_by", r.NakBy}, {"server", r.Server}, {"peer", r.Peer},
		{"trace_id", r.TraceID}, {"span_id", r.SpanID},
	} {
		if optional.value != "" {
			kv = append(kv, optional.key, optional.value)
		}
	}
	if r.AdjustedCount > 0 {
		kv = append(kv, "adjusted_count", r.AdjustedCount)
	}
	return kv
}

// reasons returns the names of the reasons why a pair is reported.
func reasons(why proxy.Why) []string {
	names := make([]string, 0, 2)
	for k, name := range [...]string{"failed", "slow", "sampled", "parent", "tapped"} {
		if why&(1<<k) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// payload returns the Data of a captured message, nil if nothing was captured.
func (i *Inspector) payload(line []byte) *string {
	if line == nil {
		return nil
	}
	data := strings.ToValidUTF8(i.options.Data(line), "\uFFFD")
	return &data
}

// quote returns bytes as a quoted Go string, which shows each of them.
func quote(raw []byte) string { return strconv.QuoteToASCII(string(raw)) }

func hexID(id []byte) string { return hex.EncodeToString(id) }

func address(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}
