package dashboard

import (
	"strings"
	"time"

	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/format"
	"github.com/foo-protocol/foo-sidecar/cmd/sidecar/internal/terminal"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry"
	"github.com/foo-protocol/foo-sidecar/pkg/telemetry/inspect"
)

// details returns all about one sidecar, the most important first.
func (e *entry) details(now time.Time) []terminal.Line {
	if e.last == nil {
		return []terminal.Line{terminal.Text(terminal.Bold, "%s", terminal.Safe(e.name)), terminal.Text(terminal.Bad, "%s", missing(e, now))}
	}
	lines := []terminal.Line{e.headline(now)}
	for _, reason := range e.last.Status.Reasons {
		lines = append(lines, field("not ready", say(terminal.Bad, "%s", terminal.Safe(reason))))
	}
	lines = append(lines, e.traffic()...)
	lines = append(lines, e.upstreams()...)
	lines = append(lines, e.listeners()...)
	lines = append(lines, e.config(), e.checkpoint())
	return append(lines, e.recent()...)
}

func (e *entry) headline(now time.Time) terminal.Line {
	s := &e.last.Stats
	line := terminal.Line{
		{Style: terminal.Bold, Text: terminal.Safe(e.name)},
		say(terminal.Plain, "  %s  up %s", terminal.Safe(s.Version), format.Age(time.Duration(s.UptimeSeconds*1e9))),
	}
	if !e.reached() {
		return append(line, say(terminal.Bad, "  as it was %s ago", format.Age(now.Sub(e.seen))))
	}
	return line
}

func (e *entry) traffic() []terminal.Line {
	s := &e.last.Stats
	lines := []terminal.Line{
		field("requests/s", say(terminal.Plain, "%9s in 1s  %9s in 10s   ", format.Rate(s.RequestRate1s), format.Rate(s.RequestRate10s)),
			say(terminal.Good, "%s", chart(e.history, chartSeconds, func(p telemetry.Point) float64 { return p.RequestRate }))),
		field("answers/s", say(terminal.Plain, "%9s in 1s  %9s in 10s", format.Rate(s.ResponseRate1s), format.Rate(s.ResponseRate10s))),
	}
	p50, p99, ok := e.latency()
	l := s.Latency
	lines = append(lines,
		field("latency", say(terminal.Plain, "p50 %7s  p99 %7s  now   ", secondsIf(ok, p50).Text, secondsIf(ok, p99).Text),
			say(terminal.Warn, "%s", chart(e.history, chartSeconds, func(p telemetry.Point) float64 { return p.P99 }))),
		field("", say(terminal.Plain, "p50 %7s  p99 %7s  since the start, at most %s",
			secondsIf(l.Count > 0, l.P50).Text, secondsIf(l.Count > 0, l.P99).Text, secondsIf(l.Count > 0, l.Max).Text)),
		field("requests", say(terminal.Plain, "%s in all  %s in flight, oldest %s  ", format.Count(s.Requests), format.Count(s.InFlight),
			secondsIf(s.InFlight > 0, s.OldestRequestSeconds).Text), sayIf(s.Queue, terminal.Warn, "%s queued")),
		field("outcomes", say(terminal.Plain, "%s ACK  ", format.Count(s.Acked)), sayIf(s.Naked, terminal.Warn, "%s NAK  "),
			sayIf(s.LocalNaks, terminal.Bad, "%s local NAK  "), sayIf(s.Unanswered, terminal.Bad, "%s unanswered  "),
			sayIf(s.Malformed, terminal.Bad, "%s malformed")),
		field("connections", say(terminal.Plain, "%s open  %s opened  ", format.Count(s.Connections.Open), format.Count(s.Connections.Opened)),
			sayIf(s.Connections.Rejected, terminal.Warn, "%s rejected  "), sayIf(s.AcceptErrors, terminal.Bad, "%s not accepted")))
	return lines
}

func (e *entry) upstreams() (lines []terminal.Line) {
	for _, u := range e.last.Stats.Upstreams {
		lines = append(lines, field("upstream", say(terminal.Plain, "%s  %s open", terminal.Safe(u.Name), format.Count(u.Open))))
		width := 0
		for _, endpoint := range u.Endpoints {
			width = max(width, terminal.Width(terminal.Safe(endpoint.Address)))
		}
		for _, endpoint := range u.Endpoints {
			style, word := terminal.Good, "up"
			switch {
			case endpoint.LastError != "":
				style, word = terminal.Bad, "down"
			case endpoint.Dialed == 0:
				style, word = terminal.Dim, "idle" // nobody has needed it yet
			}
			line := field("", say(terminal.Plain, "  %-*s  ", width, terminal.Safe(endpoint.Address)), say(style, "%-4s", word),
				say(terminal.Plain, "  %s dialed  ", format.Count(endpoint.Dialed)), sayIf(endpoint.Failed, terminal.Warn, "%s failed"))
			if endpoint.LastError != "" {
				line = append(line, say(terminal.Bad, "  %s ago: %s",
					format.Age(e.last.Stats.Time.Sub(endpoint.LastFailure)), terminal.Safe(endpoint.LastError)))
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// listeners returns a line for each listener. One alone has the numbers of all,
// which are told already.
func (e *entry) listeners() (lines []terminal.Line) {
	rates := map[string]telemetry.TrafficStats{}
	for _, l := range e.last.Stats.Listeners {
		rates[l.Name] = l.TrafficStats
	}
	for _, l := range e.last.Status.Listeners {
		line := field("listener", say(terminal.Plain, "%s  %s", terminal.Safe(l.Name), terminal.Safe(l.Address)))
		if !l.Bound {
			line = append(line, say(terminal.Bad, "  closed %s", terminal.Safe(l.Error)))
		}
		if s := rates[l.Name]; len(e.last.Status.Listeners) > 1 {
			line = append(line, say(terminal.Plain, "  %s requests/s  %s in flight  %s open",
				format.Rate(s.RequestRate1s), format.Count(s.InFlight), format.Count(s.Connections.Open)))
		}
		lines = append(lines, line)
	}
	return lines
}

func (e *entry) config() terminal.Line {
	s := &e.last.Stats
	c := s.Config
	line := field("config", say(terminal.Plain, "generation %d, loaded %s ago", c.Generation, format.Age(s.Time.Sub(c.LoadedAt))))
	if c.Degraded {
		line = append(line, say(terminal.Bad, "  degraded"))
	}
	if c.LastError != "" {
		// Each problem of a file is on a line of its own.
		why := strings.ReplaceAll(strings.TrimSpace(c.LastError), "\n", "; ")
		line = append(line, say(terminal.Bad, "  refused %s ago: %s", format.Age(s.Time.Sub(c.LastErrorAt)), terminal.Safe(why)))
	}
	return line
}

func (e *entry) checkpoint() terminal.Line {
	c := e.last.Stats.Checkpoint
	if !c.Enabled {
		return field("checkpoint", say(terminal.Plain, "off"))
	}
	line := field("checkpoint", say(terminal.Plain, "%s", terminal.Safe(c.Store)))
	if age, ok := e.checkpointAge(); ok {
		line = append(line, say(terminal.Plain, ", %s old", format.Age(age)))
	}
	if !c.Working {
		line = append(line, say(terminal.Bad, "  failing: %s", terminal.Safe(c.LastError)))
	}
	return line
}

// recentPairs is how many of the last failed and slow pairs are shown.
const recentPairs = 5

func (e *entry) recent() (lines []terminal.Line) {
	for _, part := range []struct {
		title string
		pairs []inspect.Record
	}{{"last refused or unanswered", e.last.Recent.Failed}, {"last slow", e.last.Recent.Slow}} {
		if len(part.pairs) == 0 {
			continue
		}
		lines = append(lines, nil, terminal.Text(terminal.Bold, "%s", part.title), format.PairHeader())
		for i := range part.pairs[:min(len(part.pairs), recentPairs)] {
			r := &part.pairs[i]
			lines = append(lines, format.Pair(format.Age(e.last.Stats.Time.Sub(r.Time))+" ago", r))
		}
	}
	return lines
}
