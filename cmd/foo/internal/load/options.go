package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"time"
)

// Options configures a run.
type Options struct {
	// Dial opens a connection. Required.
	Dial func(ctx context.Context) (net.Conn, error)
	// Connections is how many connections are used at a time, at least 1.
	Connections int
	// Pipeline is how many requests a connection may have outstanding, at
	// least 1.
	Pipeline int
	// RequestsPerConnection is after how many answered requests a connection is
	// closed and another one opened in its place. Zero means that connections
	// are kept.
	RequestsPerConnection int
	// Size is the length of a request's Data. It begins with a token that is
	// the request's own, see tokenSize. Zero sends no Data: an answer is then
	// known by its Seq alone.
	Size int
	// Rate is the number of requests a second over all connections. Zero means
	// as fast as answers come.
	Rate float64
	// Requests is how many are sent in all. Zero means no number.
	Requests int64
	// Duration is for how long requests are sent. Zero means until Requests are
	// sent or the context ends. With a Rate and no Requests it decides how many
	// there are; those that are late by its end are still sent within Grace.
	Duration time.Duration
	// ConnectTimeout bounds each attempt to connect. Zero means no bound.
	ConnectTimeout time.Duration
	// Reconnect replaces connections that were lost or could not be opened.
	Reconnect bool
	// Grace is how long to wait for answers after the last request. Zero means
	// not at all.
	Grace time.Duration
	// Progress is told each second how far the run is. Nil means nobody.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Elapsed time.Duration
	Counts
}

// The bounds of what makes sense, and what memory allows.
const (
	maxSize     = 16 << 20
	maxPipeline = 1 << 20
)

// Validate reports what makes no sense.
func (o Options) Validate() error {
	switch {
	case o.Connections < 1:
		return fmt.Errorf("number of connections is %d, it has to be at least 1", o.Connections)
	case o.Pipeline < 1 || o.Pipeline > maxPipeline:
		return fmt.Errorf("pipeline is %d, it has to be from 1 to %d", o.Pipeline, maxPipeline)
	case o.RequestsPerConnection < 0:
		return fmt.Errorf("number of requests per connection is %d, it can't be negative", o.RequestsPerConnection)
	case o.Size < 0 || o.Size > maxSize:
		return fmt.Errorf("size of Data is %d, it has to be from 0 to %d", o.Size, maxSize)
	case !(o.Rate >= 0) || math.IsInf(o.Rate, 0):
		return fmt.Errorf("rate is %v, it has to be a number of requests a second, or 0", o.Rate)
	case o.Requests < 0:
		return fmt.Errorf("number of requests is %d, it can't be negative", o.Requests)
	case o.Duration < 0 || o.ConnectTimeout < 0 || o.Grace < 0:
		return errors.New("a time can't be negative")
	}
	return nil
}

// planned is the number of requests that the whole run is to send, if there is
// such a number.
func (o Options) planned() (n int64, ok bool) {
	switch {
	case o.Requests > 0:
		return o.Requests, true
	case o.Rate > 0 && o.Duration > 0:
		return int64(math.Ceil(o.Rate * o.Duration.Seconds())), true
	}
	return 0, false
}

// sendingTime is how long requests may be sent, zero for no limit.
func (o Options) sendingTime() time.Duration {
	if o.Rate > 0 && o.Duration > 0 {
		return o.Duration + o.Grace
	}
	return o.Duration
}
