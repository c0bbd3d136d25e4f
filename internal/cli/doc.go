// Package cli is what the binaries of this module have in common at their
// command line: flags that work with one dash as well as with two, exit codes,
// and the version.
//
//	func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
//
//	func run(args []string, stdout, stderr io.Writer) int {
//		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
//		defer stop()
//		return cli.Execute(ctx, newRoot(), args, stdout, stderr)
//	}
//
// It defines no flags and handles no signals.
package cli
