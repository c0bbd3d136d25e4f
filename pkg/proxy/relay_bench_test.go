package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
)

// BenchmarkSession is what the session does for a request and its answer,
// without the system calls.
func BenchmarkSession(b *testing.B) {
	for _, pipeline := range []int{1, 64} {
		b.Run(fmt.Sprintf("pipeline=%d", pipeline), func(b *testing.B) {
			s := NewSession(foo.Protocol{}, &Policy{})
			out := Batch{}
			s.Start(&out)
			s.Connected(&out)
			var requests, answers []byte
			for seq := range int64(pipeline) {
				requests = foo.Append(requests, protocol.Request, 1000000+seq, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
				answers = foo.Append(answers, protocol.Positive, 1000000+seq, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += pipeline {
				out = Batch{At: time.Duration(i), Latencies: out.Latencies[:0]}
				s.ClientBytes(requests, &out)
				s.UpstreamBytes(answers, &out)
			}
			if got := s.pairs.len(); got != 0 {
				b.Fatalf("%d requests are unanswered", got)
			}
		})
	}
}

// BenchmarkRelay sends requests through a listener over loopback and waits for
// their answers. The server and the client are part of the time, but allocate
// nothing.
func BenchmarkRelay(b *testing.B) {
	for _, pipeline := range []int{1, 64} {
		b.Run(fmt.Sprintf("pipeline=%d", pipeline), func(b *testing.B) {
			up := upstreamServer(b, "tcp", "127.0.0.1:0", func(conn net.Conn) { echo(conn) })
			_, _, address := driven{TB: b}.serve(Settings{Upstream: dialTo(up.Addr().String())})
			conn := connect(b, address)
			conn.SetDeadline(time.Time{})
			in := bufio.NewReaderSize(conn, 1<<16)
			var batch []byte
			answer := make([]byte, 1<<16)
			seq := int64(0)
			round := func() {
				batch = batch[:0]
				for range pipeline {
					seq++
					batch = foo.Append(batch, protocol.Request, seq, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
				}
				if _, err := conn.Write(batch); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(in, answer[:len(batch)]); err != nil {
					b.Fatal(err)
				}
			}
			round()
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += pipeline {
				round()
			}
		})
	}
}

// echo answers each request with itself as an ACK, without allocating.
func echo(conn net.Conn) {
	buf := make([]byte, 1<<16)
	start := true // of a line
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		for i, c := range buf[:n] {
			if start && i+3 <= n {
				copy(buf[i:], "ACK")
			}
			start = c == '\n'
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}
