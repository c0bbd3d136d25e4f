package admin

import (
	"embed"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// pageRoot is where the parts of the status page are.
const pageRoot = "/page/"

// pageFiles are the status page. Nothing of it comes from anywhere else.
//
//go:embed page/*.html page/*.css page/*.js page/vendor/*.js page/vendor/*.css
var pageFiles embed.FS

// pagePolicy lets the page use its own files and the paths of this server, and
// nothing else: what it shows comes from clients that nobody vouches for.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pageTypes are the types of the files. What the system knows of types must not
// matter.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
}

// serveRoot answers with the status page to who wants HTML, and with the list of
// paths to everybody else.
func (h *handler) serveRoot(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if h.opts.Events != nil && wantsHTML(r.Header) {
		h.writeFile(w, r, "page/index.html")
		return
	}
	h.serveIndex(w, r)
}

// servePage answers with a part of the status page.
func (h *handler) servePage(w http.ResponseWriter, r *http.Request) {
	h.writeFile(w, r, strings.TrimPrefix(r.URL.Path, "/"))
}

func (h *handler) writeFile(w http.ResponseWriter, r *http.Request, name string) {
	file, err := pageFiles.ReadFile(name)
	if err != nil {
		h.notFound(w, r)
		return
	}
	w.Header().Set("Content-Type", pageTypes[path.Ext(name)])
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Content-Length", strconv.Itoa(len(file)))
	_, _ = w.Write(file) // a client that has gone needs no answer
}
