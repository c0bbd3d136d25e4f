package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/foo-protocol/foo-sidecar/cmd/foo/internal/wire"
	"github.com/foo-protocol/foo-sidecar/internal/cli"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol"
	"github.com/foo-protocol/foo-sidecar/pkg/protocol/foo"
)

// codeNAK is the exit code of a call that was answered, but not granted.
const codeNAK = 3

// defaultConnect is where the sidecar listens if it is not told otherwise.
const defaultConnect = "localhost:8002"

func newCall() *cobra.Command {
	var (
		connect string
		timeout time.Duration
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "call [DATA...]",
		Short: "Send requests and print the answers",
		Long: `call sends one REQ for each DATA, without waiting for answers in between, and
prints the answers as they arrive. Without DATA it sends one REQ for each line
of standard input, or a single REQ without Data if standard input is a terminal.

Exit code: 0 if every answer is an ACK, 3 if any is a NAK, 1 if the connection
failed or an answer is missing.`,
		Example: `  foo call -connect localhost:8002 hello world
  foo call -connect unix:/run/foo.sock < requests.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := wire.CheckAddress(connect); err != nil {
				return cli.Usagef("--connect: %w", err)
			}
			if timeout < 0 {
				return cli.Usagef("--timeout: %v is negative", timeout)
			}
			for _, arg := range args {
				if strings.Contains(arg, "\n") {
					return cli.Usagef("DATA %q contains a newline, which would end the request", arg)
				}
			}
			printAnswer := printLine
			if asJSON {
				printAnswer = printJSON
			}
			c := caller{
				timeout: timeout,
				print:   func(m wire.Message) error { return printAnswer(cmd.OutOrStdout(), m) },
				warn: func(text string) {
					_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "foo: %s\n", text)
				},
			}
			return c.call(cmd.Context(), connect, requests(args, cmd.InOrStdin()))
		},
	}
	f := cmd.Flags()
	f.StringVar(&connect, "connect", defaultConnect, "`address` to connect to")
	f.DurationVar(&timeout, "timeout", 15*time.Second, "`time` to wait for the connection, and then for the next answer; 0 is forever")
	f.BoolVar(&asJSON, "json", false, "print each answer as a line of JSON")
	return cmd
}

// requests returns the Data of the requests to send.
func requests(args []string, stdin io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		switch {
		case len(args) > 0:
			for _, arg := range args {
				if !yield(arg, nil) {
					return
				}
			}
		case isTerminal(stdin):
			yield("", nil)
		default:
			eachLine(stdin, yield)
		}
	}
}

func eachLine(r io.Reader, yield func(string, error) bool) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" && !yield(strings.TrimRight(line, "\r\n"), nil) || errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			yield("", fmt.Errorf("read requests: %w", err))
			return
		}
	}
}

func printLine(w io.Writer, m wire.Message) error {
	_, err := w.Write(foo.Append(nil, m.Kind, m.ID, m.Data))
	return err
}

func printJSON(w io.Writer, m wire.Message) error {
	kind := "ACK"
	if m.Kind == protocol.Negative {
		kind = "NAK"
	}
	return json.NewEncoder(w).Encode(struct {
		Type string `json:"type"`
		Seq  int64  `json:"seq"`
		Data string `json:"data"`
	}{kind, m.ID, string(m.Data)})
}
