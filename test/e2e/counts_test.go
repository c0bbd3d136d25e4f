//go:build unix

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
	"github.com/foo-protocol/foo-sidecar/internal/programs/programstest"
)

// built are the programs under test.
var built programstest.Programs

func TestMain(m *testing.M) { os.Exit(programstest.Main(m, &built, raceFlag)) }

// TestCountsAgreeToTheMessage compares what the client, the sidecar and the
// server counted.
func TestCountsAgreeToTheMessage(t *testing.T) {
	for name, test := range map[string]struct{ server, client []string }{
		"one at a time":        {nil, []string{"--connections", "1", "--requests", "2000"}},
		"thousands of clients": {nil, []string{"--connections", "2000", "--pipeline", "4", "--requests", "20000"}},
		"deep pipelines":       {nil, []string{"--connections", "8", "--pipeline", "2000", "--requests", "200000"}},
		"refused and shuffled": {[]string{"--nak", "0.2", "--out-of-order", "--delay", "2ms", "--delay-spread", "2ms"}, []string{"--connections", "50", "--pipeline", "100", "--requests", "50000"}},
		"large messages":       {nil, []string{"--connections", "4", "--pipeline", "8", "--size", "100000", "--requests", "500"}},
		"empty answers":        {[]string{"--response-size", "30"}, []string{"--connections", "10", "--pipeline", "10", "--requests", "20000"}},
		"at a fixed rate":      {nil, []string{"--connections", "20", "--rate", "5000", "--requests", "5000"}},
		"over a Unix socket":   {nil, []string{"--connections", "100", "--pipeline", "10", "--requests", "50000"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := built.Serve(t, test.server...)
			var listen []string
			if strings.Contains(name, "Unix") {
				listen = []string{"--listen", "unix:" + filepath.Join(t.TempDir(), "s")}
			}
			s := built.Sidecar(t, server.Address, listen...)
			r := built.Load(t, s.Address, test.client...).Report()
			if !r.Complete || r.Sent == 0 {
				t.Fatalf("the client is not content: %+v", r)
			}
			st := s.AwaitIdle()
			answers := r.ACKs + r.NAKs
			for what, pair := range map[string][2]int64{
				"msg_total":     {st.MsgTotal, r.Sent + answers},
				"msg_req":       {st.MsgReq, r.Sent},
				"msg_ack":       {st.MsgAck, r.ACKs},
				"msg_nak":       {st.MsgNak, r.NAKs},
				"acked":         {st.Acked, r.ACKs},
				"naked":         {st.Naked, r.NAKs},
				"latency":       {st.Latency.Count, answers},
				"in_flight":     {st.InFlight, 0},
				"nak_local":     {st.NakLocal, 0},
				"unanswered":    {st.Unanswered, 0},
				"unmatched":     {st.Unmatched, 0},
				"malformed":     {st.Malformed, 0},
				"bytes in":      {st.Bytes.Client, r.Bytes.Sent},
				"bytes out":     {st.Bytes.Upstream, r.Bytes.Received},
				"connections":   {st.Connections.Opened, r.Connections.Opened},
				"rejected":      {st.Connections.Rejected, 0},
				"accept errors": {st.AcceptErrors, 0},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s: the sidecar says %d, the client %d", what, pair[0], pair[1])
				}
			}
			s.Signal(syscall.SIGTERM)
			s.ExpectExit(0)
			if got := server.Finish(); got.Requests != r.Sent || got.ACKs != r.ACKs || got.NAKs != r.NAKs {
				t.Errorf("the server says %+v, the client %+v", got, r)
			}
		})
	}
}

// TestNAKsOfTheSidecarAreItsOwn runs without any server.
func TestNAKsOfTheSidecarAreItsOwn(t *testing.T) {
	s := built.Sidecar(t, "127.0.0.1:1", "--config", programstest.Configuration(t, "upstreams: [{connectBudget: 20ms}]"))
	r := built.Load(t, s.Address, "--connections", "20", "--pipeline", "20", "--requests", "10000").Report()
	if !r.Complete || r.NAKs != 10000 || r.NAKsByText["upstream unavailable"] != 10000 {
		t.Errorf("the client counted %+v", r)
	}
	st := s.AwaitIdle()
	if st.MsgReq != 10000 || st.MsgNak != 0 || st.NakLocal != 10000 || st.InFlight != 0 {
		t.Errorf("the sidecar counted %+v", st)
	}
	if got := s.Metric(`foo_sidecar_local_naks_total{listener="default",reason="unavailable"}`); got != "10000" {
		t.Errorf("the metric says %s", got)
	}
}

// TestUpstreamRestartsUnderLoad kills and restarts the server while clients
// talk; each request has exactly one answer all the same.
func TestUpstreamRestartsUnderLoad(t *testing.T) {
	server := built.Serve(t)
	s := built.Sidecar(t, server.Address)
	client := built.Load(t, s.Address, "--connections", "20", "--pipeline", "50", "--duration", "1m")
	for n := range 3 {
		before := s.Stats().MsgAck
		s.Await("traffic", func(st programs.Stats) bool { return st.MsgAck > before+1000 })
		server.Signal(syscall.SIGKILL)
		server.Wait()
		server = built.Serve(t, "--listen", server.Address)
		t.Logf("restart %d", n+1)
	}
	before := s.Stats().MsgAck
	s.Await("traffic", func(st programs.Stats) bool { return st.MsgAck > before+1000 })
	client.Signal(syscall.SIGINT)
	r := client.Report()
	st := s.AwaitIdle()
	if r.Wrong != 0 || r.Unexpected != 0 || r.NAKsByText["upstream unavailable"] == 0 {
		t.Errorf("the client counted %+v", r)
	}
	// A client whose answer was torn in the middle lost its connection; what it
	// had outstanding got no answer. Everything else agrees to the message.
	if st.MsgAck < r.ACKs || r.Connections.Lost == 0 && (st.MsgReq != r.Sent || st.MsgAck != r.ACKs || st.NakLocal+st.MsgNak != r.NAKs) {
		t.Errorf("the sidecar counted %+v, the client %+v", st, r)
	}
	if st.MsgReq != st.Acked+st.Naked+st.NakLocal+st.Unanswered {
		t.Errorf("requests don't add up: %+v", st)
	}
}
