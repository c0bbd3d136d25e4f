//go:build unix

package collector

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
	"github.com/foo-protocol/foo-sidecar/internal/programs/programstest"
)

// built are the programs under test.
var built programstest.Programs

func TestMain(m *testing.M) { os.Exit(programstest.Main(m, &built)) }

// sidecar is a sidecar that runs.
type sidecar struct {
	*programstest.Sidecar
	config string // its file
}

// newSidecar starts a sidecar in front of an upstream and waits until it serves.
// telemetry is that part of its configuration, in one line.
func newSidecar(t *testing.T, upstream, telemetry string, env ...string) *sidecar {
	t.Helper()
	config := programstest.Configuration(t, "telemetry: "+telemetry)
	return &sidecar{built.With(env...).Sidecar(t, upstream, "--config", config), config}
}

// terminate ends a process as Kubernetes does, and returns how long it took.
func terminate(t *testing.T, p *programstest.Process) time.Duration {
	t.Helper()
	begin := time.Now()
	p.Signal(syscall.SIGTERM)
	p.ExpectExit(0)
	return time.Since(begin)
}

// settled reports whether each pair that was chosen has become something.
func settled(s programs.Spans) bool {
	return s.Sampled == s.Exported+s.Dropped.Limit+s.Dropped.Queue+s.Dropped.Export
}

// load runs the client to its end. All requests must have been answered.
func load(t *testing.T, s *sidecar, args ...string) programs.Report {
	t.Helper()
	r := built.Load(t, s.Address, args...).Report()
	if !r.Complete || r.Sent == 0 || r.Wrong+r.Unanswered != 0 || r.ACKs+r.NAKs != r.Sent {
		t.Errorf("the client is not content: %+v", r)
	}
	return r
}

// counted waits for the end of all sessions and compares what the sidecar
// counted with what the clients did.
func counted(t *testing.T, s *sidecar, reports ...programs.Report) programs.Stats {
	t.Helper()
	st := s.AwaitIdle()
	var sent, acks, naks, opened int64
	for _, r := range reports {
		sent, acks, naks, opened = sent+r.Sent, acks+r.ACKs, naks+r.NAKs, opened+r.Connections.Opened
	}
	for what, pair := range map[string][2]int64{
		"msg_req": {st.MsgReq, sent}, "msg_ack": {st.MsgAck, acks}, "msg_nak": {st.MsgNak, naks},
		"acked": {st.Acked, acks}, "naked": {st.Naked, naks}, "nak_local": {st.NakLocal, 0},
		"unanswered": {st.Unanswered, 0}, "connections": {st.Connections.Opened, opened},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: the sidecar says %d, the clients %d", what, pair[0], pair[1])
		}
	}
	return st
}
