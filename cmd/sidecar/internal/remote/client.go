package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

const (
	// patience bounds how long a sidecar may take to begin its answer, and to end
	// one that is no stream.
	patience = 5 * time.Second
	// maxAnswer bounds the size of an answer and of a line of a stream, far above
	// what the largest configuration makes of them.
	maxAnswer = 16 << 20
	// maxProblem bounds what is read of an answer that is an error.
	maxProblem = 64 << 10
)

// Client asks one sidecar. Use New.
type Client struct {
	address Address
	http    *http.Client
	// silence is how long a stream may say nothing before its sidecar counts as
	// gone.
	silence time.Duration
}

// New returns a Client, which connects when it is used.
func New(a Address) *Client {
	dialer := net.Dialer{Timeout: patience}
	return &Client{
		address: a,
		silence: 3 * tapHeartbeat,
		http: &http.Client{
			Transport: &http.Transport{
				// No proxy of the environment: that is for the way out of the cluster,
				// and a sidecar is within.
				DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					if a.network != "" {
						network, address = a.network, a.dial
					}
					return dialer.DialContext(ctx, network, address)
				},
				TLSHandshakeTimeout:   patience,
				ResponseHeaderTimeout: patience,
				MaxIdleConnsPerHost:   1,
			},
			// What redirects is not a sidecar, but a login or the like.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close closes connections that are kept for later.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Stats returns the statistics as they came: one line of JSON.
func (c *Client) Stats(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body, err := c.get(ctx, "/stats", nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	line, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil {
		return nil, c.failed("/stats", err)
	}
	if !json.Valid(line) {
		return nil, c.failed("/stats", errNotSidecar)
	}
	return line, nil
}

// errNotSidecar is what is wrong with an answer that no sidecar gives.
var errNotSidecar = errors.New("the answer is not a sidecar's; is this its admin port?")

// get asks for a path and returns the body of the answer.
func (c *Client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	u := c.address.base.JoinPath(path)
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, c.failed(path, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.failed(path, err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer func() { _ = response.Body.Close() }()
	return nil, c.failed(path, problem(response))
}

// problem returns what an answer says that is not the one that was hoped for.
func problem(response *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxProblem)) // what there is of it counts
	var said struct {
		Error string `json:"error"`
	}
	isJSON := json.Unmarshal(bytes.TrimSpace(body), &said) == nil && said.Error != ""
	switch {
	case isJSON && response.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s; the sidecar is older than this command, or told not to have it", said.Error)
	case isJSON:
		return errors.New(said.Error)
	}
	return fmt.Errorf("%w (status %s)", errNotSidecar, response.Status)
}

// Error says what a sidecar was asked for, and why that failed.
type Error struct {
	Address Address
	Path    string
	Err     error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("ask %s for %s: %v", e.Address, e.Path, e.Err) }

// Unwrap returns why it failed.
func (e *Error) Unwrap() error { return e.Err }

// failed makes an Error, which says what may help.
func (c *Client) failed(path string, err error) error {
	// What the URL and the address are is told already.
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if wrapped, ok := errors.AsType[*net.OpError](err); ok && wrapped.Op == "dial" && !wrapped.Timeout() {
		err = wrapped.Err
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case ok && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %s", patience)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		err = fmt.Errorf("%w; is the sidecar running, and is this its admin port?", err)
	}
	return &Error{Address: c.address, Path: path, Err: err}
}
