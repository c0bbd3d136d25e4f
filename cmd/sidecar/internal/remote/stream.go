package remote

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// tapHeartbeat is the time after which a sidecar sends a blank line at the
// latest, if it has nothing else to say.
const tapHeartbeat = 15 * time.Second

// eventSilence is how long the events of the status page, which come each
// second, may stay away.
const eventSilence = 5 * time.Second

// errEnded is why a stream is at its end that should have none.
var errEnded = errors.New("the sidecar has ended the stream; it may be draining")

// Filter says which pairs a tap shows. Zero values filter nothing.
type Filter struct {
	Outcomes []string
	Slower   time.Duration
	Match    string // a regular expression
	Rate     int    // lines a second at most; 0: what the sidecar thinks right
}

func (f Filter) query() url.Values {
	q := url.Values{}
	if len(f.Outcomes) > 0 {
		q.Set("outcome", strings.Join(f.Outcomes, ","))
	}
	if f.Slower > 0 {
		q.Set("slower", f.Slower.String())
	}
	if f.Match != "" {
		q.Set("match", f.Match)
	}
	if f.Rate > 0 {
		q.Set("rate", strconv.Itoa(f.Rate))
	}
	return q
}

// Lines are the lines of a stream. Each is valid until the next. The last
// element is an error, unless the context of the stream has ended.
type Lines = iter.Seq2[[]byte, error]

// Tap begins to watch pairs and returns lines of JSON that tell of them as they
// end. There is an empty line now and then while none do. Whoever calls it must
// range over the lines, or end ctx.
func (c *Client) Tap(ctx context.Context, f Filter) (Lines, error) {
	lines, err := c.open(ctx, "/tap", f.query(), c.silence)
	if err != nil {
		return nil, err
	}
	return func(yield func([]byte, error) bool) {
		for line, err := range lines {
			if err == nil && len(line) > 0 && !json.Valid(line) {
				yield(nil, c.failed("/tap", errNotSidecar))
				return
			}
			if !yield(line, err) {
				return
			}
		}
	}, nil
}

// Events returns the documents that the status page is made of, one each
// second; the first comes at once. Whoever calls it must range over them, or
// end ctx.
func (c *Client) Events(ctx context.Context) (Lines, error) {
	lines, err := c.open(ctx, "/events", nil, eventSilence)
	if err != nil {
		return nil, err
	}
	return func(yield func([]byte, error) bool) {
		var event event
		for line, err := range lines {
			complete := false
			if err == nil {
				complete, err = event.add(line)
			}
			switch {
			case err != nil:
				if _, told := errors.AsType[*Error](err); !told {
					err = c.failed("/events", err)
				}
				yield(nil, err)
				return
			case !complete:
			case !yield(event.data, nil):
				return
			default:
				event.data, event.name = event.data[:0], ""
			}
		}
	}, nil
}

// event is a server-sent event that is being read.
type event struct {
	name string
	data []byte
}

// add adds a line and reports whether it was the last of the event.
func (e *event) add(line []byte) (complete bool, err error) {
	if len(line) == 0 {
		if e.name == "problem" {
			return false, errors.New(string(bytes.TrimSpace(e.data)))
		}
		return len(e.data) > 0, nil
	}
	field, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(field) {
	case "event":
		e.name = string(value)
	case "data":
		e.data = append(append(e.data, value...), '\n')
	}
	if len(e.data) > maxAnswer {
		return false, errNotSidecar
	}
	return false, nil
}

// open begins to read the lines of a stream, without their ends. A stream that
// is silent for too long has failed.
func (c *Client) open(ctx context.Context, path string, query url.Values, silence time.Duration) (Lines, error) {
	reading, cancel := context.WithCancelCause(ctx)
	// An answer that is an error may be without an end as well.
	silent := time.AfterFunc(silence, func() { cancel(fmt.Errorf("nothing came for %s", silence)) })
	body, err := c.get(reading, path, query)
	silent.Stop()
	if err != nil {
		cancel(nil)
		return nil, err
	}
	return func(yield func([]byte, error) bool) {
		defer cancel(nil)
		defer func() { _ = body.Close() }()
		silent.Reset(silence)
		defer silent.Stop()
		scanner := bufio.NewScanner(body)
		scanner.Buffer(nil, maxAnswer)
		for scanner.Scan() {
			silent.Stop() // the time that a slow terminal takes is not the sidecar's
			if !yield(scanner.Bytes(), nil) {
				return
			}
			silent.Reset(silence)
		}
		if ctx.Err() == nil {
			yield(nil, c.failed(path, why(scanner.Err(), context.Cause(reading))))
		}
	}, nil
}

// why returns why a stream has ended.
func why(err, cause error) error {
	switch {
	case cause != nil:
		return cause
	case err == nil, errors.Is(err, io.ErrUnexpectedEOF):
		return errEnded
	}
	return err
}
