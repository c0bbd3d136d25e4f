// Package terminal draws full screens of text on a terminal, and makes what
// comes from strangers safe to print.
//
//	screen, err := terminal.Open(os.Stdin, os.Stdout)
//	if err != nil {
//		return err
//	}
//	defer screen.Close()
//	screen.Draw(lines)
//
// It is all that "sidecar top" needs, and stands here instead of a framework
// because the binary runs in every pod: what it links costs memory and time to
// look after there, for a command that few ever call. The sizes and modes of
// terminals, which differ between systems, come from golang.org/x/term.
package terminal
