package admin

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// metricsTypes are what a Prometheus handler may answer with.
var metricsTypes = []string{"text/plain", "application/openmetrics-text", "application/vnd.google.protobuf"}

// prefersJSON reports whether the client would rather have JSON than any of the
// formats for Prometheus. What it likes equally is for Prometheus.
func prefersJSON(h http.Header) bool {
	ranges := parseAccept(h.Values("Accept"))
	json := ranges.quality("application/json")
	for _, other := range metricsTypes {
		if ranges.quality(other) >= json {
			return false
		}
	}
	return json > 0
}

// wantsHTML reports whether the client names HTML, as browsers do and programs
// don't, and likes it as much as JSON.
func wantsHTML(h http.Header) bool {
	ranges := parseAccept(h.Values("Accept"))
	named := slices.ContainsFunc(ranges, func(r mediaRange) bool { return r.kind == "text" && r.subtype == "html" && r.quality > 0 })
	return named && ranges.quality("text/html") >= ranges.quality("application/json")
}

// mediaRange is one element of an Accept header.
type mediaRange struct {
	kind, subtype string
	quality       float64
}

type mediaRanges []mediaRange

// parseAccept reads the values of Accept headers. What it can't read, it leaves
// out. Parameters other than q are ignored: a range is taken to be as wide as
// its type says.
func parseAccept(values []string) (ranges mediaRanges) {
	for element := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, params, _ := strings.Cut(element, ";")
		kind, subtype, ok := strings.Cut(strings.ToLower(strings.TrimSpace(name)), "/")
		if !ok || kind == "" || subtype == "" {
			continue
		}
		if q, ok := qualityOf(params); ok {
			ranges = append(ranges, mediaRange{kind, subtype, q})
		}
	}
	return ranges
}

// qualityOf returns the q among the parameters of a media range, 1 if there is
// none. It is not ok if it is no number from 0 to 1.
func qualityOf(params string) (q float64, ok bool) {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		return q, err == nil && q >= 0 && q <= 1
	}
	return 1, true
}

// quality returns how much a type is wanted: what the most specific range that
// covers it says, the best one of several, and 0 if none covers it.
func (ranges mediaRanges) quality(mediaType string) (best float64) {
	kind, subtype, _ := strings.Cut(mediaType, "/")
	bestMatch := 0
	for _, r := range ranges {
		match := 0
		switch {
		case r.kind == kind && r.subtype == subtype:
			match = 3
		case r.kind == kind && r.subtype == "*":
			match = 2
		case r.kind == "*" && r.subtype == "*":
			match = 1
		}
		switch {
		case match > bestMatch:
			bestMatch, best = match, r.quality
		case match > 0 && match == bestMatch:
			best = max(best, r.quality)
		}
	}
	return best
}
