package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
)

// While payloads are not shown nothing tells them, and what was kept of them
// before is gone.
func TestNothingTellsAPayloadThatIsNotShown(t *testing.T) {
	const secret = "hunter2"
	var out bytes.Buffer
	log, err := telemetry.NewLogger(telemetry.LogOptions{Writer: &out, Level: "debug"})
	if err != nil {
		t.Fatal(err)
	}
	opts := options()
	opts.AccessLog, opts.Log = log.Logger, log.Logger
	tracer := new(fakeTracer)
	i := New(opts)
	s := traced(tracer)
	s.AccessLog = true
	o := newSession(i)
	ctx, cancel := context.WithCancel(t.Context())
	all, err := i.Tap(ctx, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	matching, err := i.Tap(ctx, Filter{Match: regexp.MustCompile("hunter[0-9]")})
	if err != nil {
		t.Fatal(err)
	}
	observe := func() {
		p := pair(proxy.OutcomeNak, proxy.WhyFailed|proxy.WhySlow|proxy.WhyTapped)
		p.Request, p.Answer = []byte("REQ 5 "+secret+"\xff\n"), []byte("NAK 5 no "+secret+"\n")
		b := batch(o, p)
		b.Violations = []proxy.Violation{
			{Kind: proxy.ViolatedCRLF, Raw: []byte("REQ 1 " + secret + "\r\n")},
			{Kind: proxy.ViolationKind(protocol.FaultSeq), Raw: []byte("REQ x " + secret + "\n")},
		}
		o.Observe(b)
		for _, borrowed := range [][]byte{p.Request, p.Answer, b.Violations[0].Raw, b.Violations[1].Raw} {
			clear(borrowed) // the session reads the next bytes into it
		}
		i.handleQueued()
	}

	s.ShowPayload = true
	i.Configure(s)
	observe()
	shown, err := json.Marshal(i.Recent())
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(shown), secret); got != 6 {
		t.Errorf("payloads are shown %d times, want 6: %s", got, shown)
	}
	for name, lines := range map[string]<-chan []byte{"tap": all, "tap with match": matching} {
		if len(lines) != 1 {
			t.Fatalf("%s tells %d lines, want 1", name, len(lines))
		}
		if line := <-lines; !bytes.Contains(line, []byte(`"request":"`+secret+"\ufffd\"")) {
			t.Errorf("%s tells %s, want the payload", name, line)
		}
	}

	s.ShowPayload = false
	i.Configure(s)
	observe() // with what sessions captured before they knew
	redacted, err := json.Marshal(i.Recent())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for name, text := range map[string]string{
		"flight recorder": string(redacted), "log": out.String(),
		"tap": drain(all), "tap with match": drain(matching),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("%s tells the secret: %s", name, text)
		}
	}
	for _, s := range tracer.spans {
		if len(s.pair.Request)+len(s.pair.Answer) > 0 || s.record.Request != nil || s.record.Answer != nil {
			t.Errorf("the tracer was given a payload: %+v", s)
		}
	}
	if strings.Count(out.String(), `"msg":"pair"`) != 2 || strings.Count(out.String(), `"msg":"protocol violated"`) != 4 {
		t.Errorf("want two pairs and four violations in the log: %s", out.String())
	}
}

// A pair may be on its way into the flight recorder when payloads cease to be
// shown.
func TestAPayloadThatComesLateIsNotKept(t *testing.T) {
	i := New(options())
	data := "hunter2"
	p := failure()
	i.recorder.pair(&p, Record{Request: &data, Answer: &data})
	i.recorder.violation(proxy.ViolatedCRLF, keptViolation{ViolationRecord{Raw: data}, "header"})
	i.Configure(Settings{ShowPayload: true})
	r := i.Recent()
	if got := r.Failed[0]; got.Request != nil || got.Answer != nil {
		t.Errorf("the flight recorder kept %+v", got)
	}
	if got := r.Violations[0].Raw; got != "header" {
		t.Errorf("the flight recorder kept %q of a violation, want the header", got)
	}
}
