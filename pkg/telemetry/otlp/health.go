package otlp

import (
	"sync"

	"github.com/go-logr/logr"
)

// health knows whether what is sent arrives, and logs each change of that.
type health struct {
	log logr.Logger // not called under the lock

	mu     sync.Mutex // guards the fields below
	losing bool
	lost   int64 // since losing is true
	mark   int64 // lost at the end of the last attempt to send
}

// lose notes that n could not be sent, because of err.
func (h *health) lose(n int64, err error) {
	h.mu.Lock()
	began := !h.losing
	h.losing = true
	h.lost += n
	h.mu.Unlock()
	if began {
		h.log.Error(err, "telemetry is dropped")
	}
}

// attempted notes the end of an attempt to send. All is well again when one
// succeeded and nothing was lost since the one before: a collector that is
// merely too slow takes something now and then, too.
func (h *health) attempted(ok bool) {
	h.mu.Lock()
	recovered := ok && h.losing && h.lost == h.mark
	lost := h.lost
	if recovered {
		h.losing, h.lost = false, 0
	}
	h.mark = h.lost
	h.mu.Unlock()
	if recovered {
		h.log.Info("telemetry is no longer dropped", "dropped", lost)
	}
}
