// Package admin is the sidecar's HTTP face: liveness, readiness, statistics,
// metrics, the effective configuration, a live stream of pairs and the status
// page, for probes, for Prometheus and for people with a browser or with curl.
//
//	server := admin.NewServer(admin.Options{Version: version, Status: status, Stats: stats, Log: log})
//	err := server.Serve(ctx, listener) // until ctx ends
//
// All of it can be read and nothing can be changed: every path answers GET and
// HEAD only. The package decides nothing either. What alive and ready mean is
// up to the functions in [Options], which are asked anew for each request and
// must be quick and safe for concurrent use. What the status page shows is made
// once a second while at least one is open, whatever their number.
//
// Answers are JSON that ends in a newline, including errors; what the server
// itself refuses before it has understood the request (headers too large, say)
// is plain text. The status page is embedded, and asks this server only. Nothing
// may be cached.
package admin
