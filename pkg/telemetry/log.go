package telemetry

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// LogOptions configures a Logger.
type LogOptions struct {
	// Level is the least severe level that is shown: error, warn, info or debug.
	// Empty means info. See [Logger.SetLevel].
	Level string
	// Format is json or console. Empty means json.
	Format string
	// Writer is written to, one record at a time. Nil means standard error.
	Writer io.Writer
}

// Logger is a logr.Logger whose level and format can be changed while it is in
// use, also for the loggers that were derived from it. Use [NewLogger].
type Logger struct {
	logr.Logger
	level   zap.AtomicLevel
	console *atomic.Bool
	lines   *lineCounter
}

// NewLogger returns a Logger that writes through zap. A JSON record has the
// time in UTC as "ts", then "level", "logger" if it has a name, "msg", and the
// keys and values of the call; errors are under "error".
func NewLogger(o LogOptions) (*Logger, error) {
	if o.Writer == nil {
		o.Writer = os.Stderr
	}
	l := &Logger{level: zap.NewAtomicLevel(), console: new(atomic.Bool), lines: new(lineCounter)}
	if err := l.SetLevel(cmp.Or(o.Level, "info")); err != nil {
		return nil, err
	}
	if err := l.SetFormat(cmp.Or(o.Format, "json")); err != nil {
		return nil, err
	}

	out := zapcore.Lock(zapcore.AddSync(o.Writer))
	core := switchCore{
		console: l.console,
		asText:  zapcore.NewCore(zapcore.NewConsoleEncoder(encoding), out, l.level),
		asJSON:  zapcore.NewCore(zapcore.NewJSONEncoder(encoding), out, l.level),
	}
	// The level is there by name already, so zapr need not add its number.
	l.Logger = zapr.NewLoggerWithOptions(zap.New(core, zap.Hooks(l.lines.count)), zapr.LogInfoLevel(""))
	return l, nil
}

// SetLevel sets the least severe level that is shown. In terms of logr, error
// shows calls of Error only, info also those of Info at V(0), and debug also
// those at V(1). logr has no warnings; warn is the same as error.
func (l *Logger) SetLevel(level string) error {
	switch level {
	case "error", "warn":
		l.level.SetLevel(zapcore.ErrorLevel)
	case "info":
		l.level.SetLevel(zapcore.InfoLevel)
	case "debug":
		l.level.SetLevel(zapcore.DebugLevel)
	default:
		return fmt.Errorf("log level %q is none of error, warn, info and debug", level)
	}
	return nil
}

// SetFormat sets the format of the records that follow: json or console.
func (l *Logger) SetFormat(format string) error {
	switch format {
	case "json", "console":
		l.console.Store(format == "console")
	default:
		return fmt.Errorf("log format %q is none of json and console", format)
	}
	return nil
}

// Lines returns how many lines were logged so far, those of derived loggers
// included.
func (l *Logger) Lines() LogLines {
	return LogLines{Debug: l.lines.debug.Load(), Info: l.lines.info.Load(), Error: l.lines.errors.Load()}
}

// lineCounter counts lines by level. logr knows no others.
type lineCounter struct{ debug, info, errors atomic.Int64 }

// count is called for each line that is written.
func (c *lineCounter) count(entry zapcore.Entry) error {
	switch {
	case entry.Level < zapcore.InfoLevel:
		c.debug.Add(1)
	case entry.Level == zapcore.InfoLevel:
		c.info.Add(1)
	default:
		c.errors.Add(1)
	}
	return nil
}

var encoding = zapcore.EncoderConfig{
	TimeKey: "ts", LevelKey: "level", NameKey: "logger", MessageKey: "msg",
	LineEnding:     zapcore.DefaultLineEnding,
	EncodeTime:     encodeTime,
	EncodeLevel:    zapcore.LowercaseLevelEncoder,
	EncodeDuration: zapcore.StringDurationEncoder,
}

// encodeTime writes RFC 3339 in UTC with all digits, so that records sort by
// their text.
func encodeTime(t time.Time, e zapcore.PrimitiveArrayEncoder) {
	e.AppendString(t.UTC().Format("2006-01-02T15:04:05.000000000Z07:00"))
}

// switchCore writes with one of two cores. It keeps both up to date with the
// fields that derived loggers add, so that the choice can change at any time.
type switchCore struct {
	console        *atomic.Bool
	asText, asJSON zapcore.Core
}

// Enabled implements [zapcore.Core].
func (c switchCore) Enabled(level zapcore.Level) bool { return c.asJSON.Enabled(level) }

// With implements [zapcore.Core].
func (c switchCore) With(fields []zapcore.Field) zapcore.Core {
	c.asText, c.asJSON = c.asText.With(fields), c.asJSON.With(fields)
	return c
}

// Check implements [zapcore.Core].
func (c switchCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.console.Load() {
		return c.asText.Check(entry, checked)
	}
	return c.asJSON.Check(entry, checked)
}

// Write implements [zapcore.Core]. Nothing calls it, because Check hands every
// entry to one of the two.
func (c switchCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	return c.asJSON.Write(entry, fields)
}

// Sync implements [zapcore.Core].
func (c switchCore) Sync() error { return c.asJSON.Sync() }
