package admin

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// writeJSON answers with v, indented for people.
func (h *handler) writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		h.opts.Log.Error(err, "an answer can't be written as JSON")
		code = http.StatusInternalServerError
		body = []byte(`{"error": "the answer can't be written as JSON, see the log"}`)
	}
	writeLine(w, code, append(body, '\n'))
}

// writeLine answers with JSON that is complete.
func writeLine(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// problem is the answer that says what was wrong with a request.
type problem struct {
	Error string   `json:"error"`
	Paths []string `json:"paths,omitempty"`
}
