package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "`address` to listen on")
	forward := flag.String("forward", "", "`address` to forward to")
	flag.Parse()
	fmt.Fprintln(os.Stderr, "iocopy:", serve(*listen, *forward))
	os.Exit(1)
}

// serve relays connections until it fails.
func serve(listen, forward string) error {
	l, err := net.Listen("tcp", listen) //nolint:noctx // It is ready at once.
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "listening on", l.Addr())
	for {
		client, err := l.Accept()
		if err != nil {
			return err
		}
		go relay(client, forward)
	}
}

// relay carries one connection until both sides have ended.
func relay(client net.Conn, forward string) {
	defer client.Close()
	upstream, err := net.Dial("tcp", forward) //nolint:noctx // The system gives up in the end.
	if err != nil {
		fmt.Fprintln(os.Stderr, "iocopy:", err)
		return
	}
	defer upstream.Close()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		pass(client, upstream)
	}()
	pass(upstream, client)
	<-answered
}

// pass copies from src to dst, and then the end of src, too.
func pass(dst, src net.Conn) {
	if _, err := io.Copy(dst, src); err != nil {
		src.Close()
		dst.Close()
		return
	}
	_ = dst.(*net.TCPConn).CloseWrite() // It may be gone.
}
