package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrTooMany is what [Options.Tap] returns when it has as many watchers as it
// may have.
var ErrTooMany = errors.New("too many watchers")

// TapOutcomes are the outcomes of a pair that can be asked for.
var TapOutcomes = []string{"ack", "nak", "nak_local", "unanswered"}

const (
	defaultTapRate = 100
	maxTapRate     = 1000
	// maxTapMatch bounds the length of a regular expression.
	maxTapMatch = 1000
	// tapHeartbeat is the time between two blank lines on a silent stream, which
	// is how a watcher that is no more gets noticed.
	tapHeartbeat = 15 * time.Second
)

// TapQuery says which pairs a watcher wants to see.
type TapQuery struct {
	// Outcomes, of TapOutcomes. None means all.
	Outcomes []string
	// Slower are pairs that took at least so long.
	Slower time.Duration
	// Match, unless nil, must match the line that would be sent.
	Match *regexp.Regexp
	// Rate is how many lines a second are sent at most.
	Rate int
}

// tapParams are the parameters of /tap, what each may be, and how it is read.
var tapParams = []struct {
	name, allowed string
	read          func(q *TapQuery, value string) error
}{
	{"outcome", "any of " + strings.Join(TapOutcomes, ", ") + ", with commas between them", readOutcomes},
	{"slower", "a duration such as 50ms or 1.5s", func(q *TapQuery, value string) (err error) {
		if q.Slower, err = time.ParseDuration(value); err == nil && q.Slower < 0 {
			err = fmt.Errorf("%s is negative", value)
		}
		return err
	}},
	{"match", fmt.Sprintf("a regular expression (RE2) of at most %d bytes", maxTapMatch), func(q *TapQuery, value string) (err error) {
		if len(value) > maxTapMatch {
			return fmt.Errorf("it has %d bytes", len(value))
		}
		q.Match, err = regexp.Compile(value)
		return err
	}},
	{"rate", fmt.Sprintf("lines a second, 1 to %d", maxTapRate), func(q *TapQuery, value string) (err error) {
		if q.Rate, err = strconv.Atoi(value); err != nil || q.Rate < 1 || q.Rate > maxTapRate {
			return fmt.Errorf("got %.100q", value)
		}
		return nil
	}},
}

func readOutcomes(q *TapQuery, value string) error {
	for outcome := range strings.SplitSeq(value, ",") {
		if !slices.Contains(TapOutcomes, outcome) {
			return fmt.Errorf("%.100q is no outcome", outcome)
		}
		if !slices.Contains(q.Outcomes, outcome) {
			q.Outcomes = append(q.Outcomes, outcome)
		}
	}
	return nil
}

// parseTap reads the query of /tap. Its errors say what is wrong and what is
// allowed.
func parseTap(raw string) (TapQuery, error) {
	q := TapQuery{Rate: defaultTapRate}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("the query can't be read: %w", err)
	}
	known := make([]string, 0, len(tapParams))
	for _, p := range tapParams {
		known = append(known, p.name)
		given := values[p.name]
		delete(values, p.name)
		if len(given) > 1 {
			return q, fmt.Errorf("%s is given %d times, once is allowed", p.name, len(given))
		}
		for _, value := range given {
			if err := p.read(&q, value); err != nil {
				return q, fmt.Errorf("%s: %w; allowed is %s", p.name, err, p.allowed)
			}
		}
	}
	for name := range values {
		return q, fmt.Errorf("there is no parameter %.100q; there are %s", name, strings.Join(known, ", "))
	}
	return q, nil
}

// serveTap answers with one line of JSON for each pair that is asked for, until
// the client leaves or the server ends.
func (h *handler) serveTap(w http.ResponseWriter, r *http.Request) {
	query, err := parseTap(r.URL.RawQuery)
	if err != nil {
		h.writeJSON(w, http.StatusBadRequest, problem{Error: err.Error()})
		return
	}
	s := h.newStream(w, "application/x-ndjson")
	if r.Method == http.MethodHead {
		s.begin()
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	lines, err := h.opts.Tap(ctx, query)
	switch {
	case errors.Is(err, ErrTooMany):
		h.tooMany(w, err.Error())
		return
	case err != nil:
		h.writeJSON(w, http.StatusBadRequest, problem{Error: err.Error()})
		return
	}
	s.begin()
	heartbeat := time.NewTicker(tapHeartbeat)
	defer heartbeat.Stop()
	for {
		var line []byte
		select {
		case next, ok := <-lines:
			if !ok {
				return
			}
			line = next
			heartbeat.Reset(tapHeartbeat)
		case <-heartbeat.C:
			line = []byte{'\n'}
		case <-s.end:
			return
		case <-ctx.Done():
			return
		}
		if !s.write(line) {
			return
		}
	}
}
