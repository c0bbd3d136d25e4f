package admin

import (
	"net/http"
	"net/http/pprof"
)

const pprofRoot = "/debug/pprof/"

// servePprof answers with a profile. One that takes a while extends the
// deadline of its answer by that time, through [answer.Unwrap]; it ends early if
// its client leaves.
//
// Importing net/http/pprof also registers its handlers with
// http.DefaultServeMux, which nothing here serves.
func (h *handler) servePprof(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path[len(pprofRoot):] {
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r) // the index, or the profile that is named after it
	}
}
