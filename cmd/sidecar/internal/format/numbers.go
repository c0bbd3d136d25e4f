package format

import (
	"math"
	"strconv"
	"time"
)

// None stands for what is not known, or does not exist.
const None = "-"

// Count returns a number with commas between thousands.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Rate returns a number a second, with the decimals that count.
func Rate(perSecond float64) string {
	switch {
	case !finite(perSecond):
		return None
	case math.Abs(perSecond) < 99.95:
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	}
	return Count(int64(math.Round(perSecond)))
}

// Share returns a part of a whole in per cent. What is not nothing does not
// look like nothing.
func Share(part, whole float64) string {
	share := 100 * part / whole
	switch {
	case !finite(share):
		return None
	case share == 0:
		return "0%"
	case share < 0.01:
		return "<0.01%"
	case share < 9.995:
		return strconv.FormatFloat(share, 'f', 2, 64) + "%"
	}
	return strconv.FormatFloat(share, 'f', 1, 64) + "%"
}

// Duration returns a time with about three digits that count.
func Duration(d time.Duration) string {
	for unit := time.Duration(1); unit < time.Hour; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
	return d.Round(time.Second).String()
}

// Seconds returns a time, given in seconds, with about three digits that count.
func Seconds(s float64) string {
	d, ok := duration(s)
	if !ok {
		return None
	}
	return Duration(d)
}

// Age returns how long ago something was, roughly.
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0: // The clocks of two machines differ.
		return "0s"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 2*day:
		return strconv.Itoa(int(d.Hours())) + "h"
	}
	return strconv.Itoa(int(d/day)) + "d"
}

// duration returns a time that is given in seconds, unless it makes no sense.
func duration(seconds float64) (d time.Duration, ok bool) {
	if !finite(seconds) || math.Abs(seconds) > math.MaxInt64/1e9 {
		return 0, false
	}
	return time.Duration(seconds * 1e9), true
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
