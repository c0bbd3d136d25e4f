// Command bench measures the sidecar end to end, over real sockets, beside
// other proxies and beside no proxy at all: requests a second, processor time,
// system calls and memory of the proxy, and latencies. docs/performance.md says
// how it measures, and has its results.
//
//	go run ./test/bench --workloads W3 --subjects sidecar,haproxy
//
// Server, proxy and load are processes of their own. All subjects of a workload
// run at the same time and take turns in short slices, and what counts are the
// ratios within a round, because machines are noisy.
//
// It measures; it does not judge. It needs Linux, for what /proc tells of other
// processes.
package main
