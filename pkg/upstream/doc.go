// Package upstream reaches the servers behind the sidecar: it keeps the list
// of endpoints of one upstream, resolves names, dials, and remembers what
// happened to each endpoint. It moves no bytes and knows no protocol.
package upstream
