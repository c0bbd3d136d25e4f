package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// doubleDashes spells the long flags among args with two dashes. pflag would
// read "-listen" as the shorthands l, i, s and so on. Left as they are:
//
//   - what is no long flag of any command of the tree;
//   - names of a single letter, which are shorthands;
//   - the value of the flag before, as in "--data -listen", also where that
//     flag is a shorthand or has one dash itself;
//   - everything from "--" on.
//
// Which command is meant is not known yet, so the names of all commands count.
// Where two commands give one name to a switch and to a flag with a value, the
// next argument counts as a value.
func doubleDashes(root *cobra.Command, args []string) []string {
	flags := flagsOf(root)
	out := make([]string, 0, len(args)) // never nil: cobra would take os.Args
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...)
		}
		arg, takesNext := flags.spell(arg)
		out = append(out, arg)
		if takesNext && i+1 < len(args) {
			i++
			out = append(out, args[i])
		}
	}
	return out
}

// flagNames are the flags of a tree of commands. The value tells whether a
// flag's value is the next argument, if it is not joined to the name.
type flagNames struct {
	long      map[string]bool
	shorthand map[byte]bool
}

func flagsOf(root *cobra.Command) flagNames {
	names := flagNames{long: map[string]bool{}, shorthand: map[byte]bool{}}
	add := func(f *pflag.Flag) {
		takesValue := f.NoOptDefVal == ""
		names.long[f.Name] = names.long[f.Name] || takesValue
		if f.Shorthand != "" {
			names.shorthand[f.Shorthand[0]] = names.shorthand[f.Shorthand[0]] || takesValue
		}
	}
	walk(root, func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		c.InitDefaultVersionFlag()
		c.Flags().VisitAll(add)
		c.PersistentFlags().VisitAll(add)
	})
	return names
}

// spell returns arg as pflag wants it, and whether the next argument is its
// value.
func (n flagNames) spell(arg string) (spelled string, takesNext bool) {
	if len(arg) < 2 || arg[0] != '-' {
		return arg, false
	}
	name, _, joined := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
	takesValue, known := n.long[name]
	switch {
	case strings.HasPrefix(arg, "--"):
		return arg, takesValue && !joined
	case known && len(name) >= 2:
		return "-" + arg, takesValue && !joined
	}
	// A cluster of shorthands: the first that takes a value takes the rest of
	// the cluster, or the next argument if it is the last.
	for i := 1; i < len(arg) && arg[i] != '='; i++ {
		if n.shorthand[arg[i]] {
			return arg, i == len(arg)-1
		}
	}
	return arg, false
}
