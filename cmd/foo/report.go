package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/load"
)

// report is the outcome of a load as JSON.
type report struct {
	// Loop is "closed" or "open". Latency counts from the time of sending, or
	// from the time at which a request was to be sent.
	Loop            string           `json:"loop"`
	LatencyFrom     string           `json:"latency_from"`
	Complete        bool             `json:"complete"`
	DurationSeconds float64          `json:"duration_seconds"`
	Connections     connectionReport `json:"connections"`
	Pipeline        int              `json:"pipeline"`
	Size            int              `json:"size"`
	Rate            float64          `json:"rate"`
	Sent            int64            `json:"sent"`
	ACKs            int64            `json:"acks"`
	NAKs            int64            `json:"naks"`
	NAKsByText      map[string]int64 `json:"nak_by_text"`
	Wrong           int64            `json:"wrong"`
	Unanswered      int64            `json:"unanswered"`
	NotSent         int64            `json:"not_sent"`
	Unexpected      int64            `json:"unexpected"`
	Bytes           bytesReport      `json:"bytes"`
	Throughput      float64          `json:"throughput"`
	Latency         latencyReport    `json:"latency_seconds"`
	// Overslept is by how much at most the sender of an open loop was late by
	// itself. It is not part of the latency.
	Overslept float64 `json:"overslept_seconds"`
}

type connectionReport struct {
	Wanted int   `json:"wanted"`
	Opened int64 `json:"opened"`
	Failed int64 `json:"failed"`
	Lost   int64 `json:"lost"`
}

type bytesReport struct {
	Sent     int64 `json:"sent"`
	Received int64 `json:"received"`
}

type latencyReport struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

func newReport(o load.Options, r *load.Result) report {
	rep := report{
		Loop:            "closed",
		LatencyFrom:     "sending",
		Complete:        r.Complete(),
		DurationSeconds: r.Elapsed.Seconds(),
		Connections:     connectionReport{o.Connections, r.Opened, r.Failed, r.Lost},
		Pipeline:        o.Pipeline,
		Size:            o.Size,
		Rate:            o.Rate,
		Sent:            r.Sent,
		ACKs:            r.ACKs,
		NAKs:            r.NAKs,
		NAKsByText:      r.NAKTexts,
		Wrong:           r.Wrong,
		Unanswered:      r.Unanswered,
		NotSent:         r.NotSent,
		Unexpected:      r.Unexpected,
		Bytes:           bytesReport{r.BytesSent, r.BytesReceived},
		Throughput:      r.Throughput(),
		Overslept:       r.Overslept.Seconds(),
	}
	if o.Rate > 0 {
		rep.Loop, rep.LatencyFrom = "open", "scheduled sending"
	}
	h := &r.Latency
	rep.Latency = latencyReport{
		Count: h.Count(),
		Mean:  h.Sum().Seconds() / float64(max(h.Count(), 1)),
		P50:   h.Quantile(0.5).Seconds(),
		P90:   h.Quantile(0.9).Seconds(),
		P99:   h.Quantile(0.99).Seconds(),
		P999:  h.Quantile(0.999).Seconds(),
		Max:   h.Max().Seconds(),
	}
	return rep
}

func (r report) printJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// print prints the report as a table for people.
func (r report) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	row := func(name string, cells ...string) {
		_, _ = io.WriteString(t, name) // Flush returns the error
		for _, cell := range cells {
			_, _ = io.WriteString(t, "\t"+cell)
		}
		_, _ = io.WriteString(t, "\n")
	}
	n := func(label string, n int64) string { return label + " " + grouped(n) }

	pace := "as fast as answers come"
	if r.Loop == "open" {
		pace = fmt.Sprintf("%g requests/s", r.Rate)
	}
	c := r.Connections
	if _, err := fmt.Fprintf(w, "%s loop, %s: %d connections, pipeline %d, %d bytes of Data\n\n",
		r.Loop, pace, c.Wanted, r.Pipeline, r.Size); err != nil {
		return err
	}
	row("connections", n("opened", c.Opened), n("failed", c.Failed), n("lost", c.Lost))
	row("requests", n("sent", r.Sent), n("unanswered", r.Unanswered), n("not sent", r.NotSent))
	row("answers", n("ACK", r.ACKs), n("NAK", r.NAKs), n("wrong", r.Wrong), n("unexpected", r.Unexpected))
	row("throughput", fmt.Sprintf("%s requests/s", grouped(int64(r.Throughput))),
		fmt.Sprintf("for %s", short(seconds(r.DurationSeconds))),
		n("bytes sent", r.Bytes.Sent), n("received", r.Bytes.Received))
	l := r.Latency
	latency := []string{}
	for _, cell := range []struct {
		label string
		value float64
	}{{"p50", l.P50}, {"p90", l.P90}, {"p99", l.P99}, {"p99.9", l.P999}, {"max", l.Max}, {"mean", l.Mean}} {
		latency = append(latency, cell.label+" "+short(seconds(cell.value)))
	}
	row("latency", latency...)
	if err := t.Flush(); err != nil {
		return err
	}
	return r.printNotes(w)
}

// printNotes prints what does not fit into the table.
func (r report) printNotes(w io.Writer) error {
	note := fmt.Sprintf("\nLatency counts from the time of %s.", r.LatencyFrom)
	if r.Overslept > 0 {
		note += fmt.Sprintf(" The sender itself was up to %s late,\nwhich is not part of it.", short(seconds(r.Overslept)))
	}
	if _, err := io.WriteString(w, note+"\n"); err != nil {
		return err
	}
	texts := slices.SortedFunc(maps.Keys(r.NAKsByText), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.NAKsByText[b], r.NAKsByText[a]), cmp.Compare(a, b))
	})
	for _, text := range texts {
		if _, err := fmt.Fprintf(w, "%s NAKs say %q.\n", grouped(r.NAKsByText[text]), text); err != nil {
			return err
		}
	}
	return nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// short returns a duration with about three digits that count.
func short(d time.Duration) string {
	for unit := time.Duration(1); unit < time.Hour; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
	return d.Round(time.Second).String()
}

// grouped returns a number with commas between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
