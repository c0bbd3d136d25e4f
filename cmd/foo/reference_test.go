package main

import (
	"testing"

	"github.com/foo-protocol/foo-sidecar/internal/cli"
	"github.com/foo-protocol/foo-sidecar/internal/golden"
)

//go:generate go test -run ^TestReferenceIsCurrent$ -update .

func TestReferenceIsCurrent(t *testing.T) {
	const remedy = "go generate ./cmd/foo"
	golden.Compare(t, "../../docs/commands/foo.md", cli.Reference(newRoot(), remedy), "run "+remedy)
}
