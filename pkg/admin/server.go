package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/go-logr/logr"
)

// maxHeaderBytes bounds the request line and the headers of a request.
const maxHeaderBytes = 16 << 10

// Server serves a Handler. Use NewServer.
type Server struct {
	opts Options
}

// NewServer returns a Server that serves nothing until Serve.
func NewServer(opts Options) *Server { return &Server{opts: opts.withDefaults()} }

// Serve answers requests that come through ln, which it closes, until ctx ends.
// Requests in progress may then go on for a while; those that take longer are
// cut, and streams end at once. It returns nil if it ended because ctx did.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	handler := newHandler(s.opts)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: s.opts.ReadHeaderTimeout,
		ReadTimeout:       s.opts.ReadTimeout,
		WriteTimeout:      s.opts.WriteTimeout,
		IdleTimeout:       s.opts.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logr.ToSlogHandler(s.opts.Log), slog.LevelInfo),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		// Accepting has failed for good. Requests in progress fail with it.
		_ = server.Close()
		handler.end()
		return fmt.Errorf("serve admin requests on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	handler.end()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.ShutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		s.opts.Log.V(1).Info("admin requests in progress were cut", "after", s.opts.ShutdownTimeout.String())
		_ = server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admin requests on %s: %w", ln.Addr(), err)
	}
	return nil
}
