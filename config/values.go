package config

import (
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is written like "3s" or "1m30s".
type Duration time.Duration

// durationPattern is what a duration looks like; it stands in the JSON Schema
// too. There is no sign: no key has a use for a negative duration.
const (
	durationPattern = `^` + durationUnits + `$`
	durationUnits   = `([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+`
)

var durationRegexp = regexp.MustCompile(durationPattern)

// String returns the shortest usual form: "1m" rather than "1m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(text []byte) error {
	if !durationRegexp.Match(text) {
		return fmt.Errorf("%q is not a duration", text)
	}
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(parsed)
	return nil
}

// FileMode holds the permission bits of a file, written in octal like "0666".
type FileMode fs.FileMode

const fileModePattern = `^0?[0-7]{3}$`

var fileModeRegexp = regexp.MustCompile(fileModePattern)

// String returns the mode as four octal digits.
func (m FileMode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalText implements [encoding.TextMarshaler].
func (m FileMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (m *FileMode) UnmarshalText(text []byte) error {
	if !fileModeRegexp.Match(text) {
		return fmt.Errorf("%q is not an octal file mode", text)
	}
	parsed, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil {
		return err
	}
	*m = FileMode(parsed)
	return nil
}

// Slow says from which duration on a pair is slow: [SlowP99], [SlowNone], or
// what a [Duration] looks like.
type Slow string

// The values of Slow that are not durations.
const (
	SlowP99  Slow = "p99"
	SlowNone Slow = "none"
)

const slowPattern = `^(p99|none|` + durationUnits + `)$`

// Threshold returns the fixed duration d from which on a pair is slow. It is
// not ok if there is none; then p99 tells whether the rolling p99 takes its
// place, or else no pair is slow.
func (s Slow) Threshold() (d time.Duration, p99, ok bool) {
	if s == SlowP99 || s == SlowNone {
		return 0, s == SlowP99, false
	}
	var parsed Duration
	if err := parsed.UnmarshalText([]byte(s)); err != nil {
		return 0, false, false
	}
	return time.Duration(parsed), false, true
}

// UnmarshalText implements [encoding.TextUnmarshaler]. A duration gets its
// shortest form.
func (s *Slow) UnmarshalText(text []byte) error {
	if v := Slow(text); v == SlowP99 || v == SlowNone {
		*s = v
		return nil
	}
	var d Duration
	if err := d.UnmarshalText(text); err != nil {
		return err
	}
	if d == 0 {
		return fmt.Errorf("%q is not a positive duration", text)
	}
	*s = Slow(d.String())
	return nil
}

// choice is a string that has one of a few values.
type choice interface{ values() []string }

// OnLoss says what a client meets when the upstream is not there.
type OnLoss string

// The values of OnLoss.
const (
	OnLossNAK   OnLoss = "nak"
	OnLossClose OnLoss = "close"
)

func (OnLoss) values() []string { return names(OnLossNAK, OnLossClose) }

// OnMalformed says what happens to bytes that are not Foo.
type OnMalformed string

// The values of OnMalformed.
const (
	OnMalformedPass   OnMalformed = "pass"
	OnMalformedReject OnMalformed = "reject"
)

func (OnMalformed) values() []string { return names(OnMalformedPass, OnMalformedReject) }

// OnDamaged says what a damaged checkpoint does at start.
type OnDamaged string

// The values of OnDamaged.
const (
	OnDamagedContinue OnDamaged = "continue"
	OnDamagedFail     OnDamaged = "fail"
)

func (OnDamaged) values() []string { return names(OnDamagedContinue, OnDamagedFail) }

// OnInvalid says what an invalid configuration file does at start.
type OnInvalid string

// The values of OnInvalid.
const (
	OnInvalidLastGood OnInvalid = "lastGood"
	OnInvalidFail     OnInvalid = "fail"
)

func (OnInvalid) values() []string { return names(OnInvalidLastGood, OnInvalidFail) }

// LogLevel is how important a message must be to be logged.
type LogLevel string

// The values of LogLevel, the most important first.
const (
	LogError LogLevel = "error"
	LogWarn  LogLevel = "warn"
	LogInfo  LogLevel = "info"
	LogDebug LogLevel = "debug"
)

func (LogLevel) values() []string { return names(LogError, LogWarn, LogInfo, LogDebug) }

// LogFormat is the form of the log.
type LogFormat string

// The values of LogFormat.
const (
	LogJSON    LogFormat = "json"
	LogConsole LogFormat = "console"
)

func (LogFormat) values() []string { return names(LogJSON, LogConsole) }

// Payload says whether the Data of messages is shown.
type Payload string

// The values of Payload.
const (
	PayloadRedact Payload = "redact"
	PayloadShow   Payload = "show"
)

func (Payload) values() []string { return names(PayloadRedact, PayloadShow) }

// TraceExporter says where spans go.
type TraceExporter string

// The values of TraceExporter.
const (
	TraceExporterAuto TraceExporter = "auto"
	TraceExporterOTLP TraceExporter = "otlp"
	TraceExporterNone TraceExporter = "none"
)

func (TraceExporter) values() []string {
	return names(TraceExporterAuto, TraceExporterOTLP, TraceExporterNone)
}

// OTLPProtocol is how a collector is spoken to.
type OTLPProtocol string

// The values of OTLPProtocol.
const (
	OTLPProtocolAuto OTLPProtocol = "auto"
	OTLPProtocolGRPC OTLPProtocol = "grpc"
	OTLPProtocolHTTP OTLPProtocol = "http/protobuf"
)

func (OTLPProtocol) values() []string {
	return names(OTLPProtocolAuto, OTLPProtocolGRPC, OTLPProtocolHTTP)
}

func names[T ~string](values ...T) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = string(v)
	}
	return all
}
