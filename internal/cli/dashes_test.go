package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func TestLongFlagsMayHaveOneDash(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"value follows", "run -listen :8001", "run --listen :8001"},
		{"value joined", "run -listen=:8001", "run --listen=:8001"},
		{"two dashes", "run --listen :8001", "run --listen :8001"},
		{"switch", "run -json -listen :1", "run --json --listen :1"},
		{"switch with a value", "run -json=false -listen :1", "run --json=false --listen :1"},
		{"of the root", "-verbose run", "--verbose run"},
		{"of another command", "run -forward x", "run --forward x"},
		{"value that looks like a flag", "run --data -listen", "run --data -listen"},
		{"the same, one dash", "run -data -listen -json", "run --data -listen --json"},
		{"the same, shorthand", "run -d -listen -json", "run -d -listen --json"},
		{"shorthand with its value", "run -dx -listen :1", "run -dx --listen :1"},
		{"shorthand with = and its value", "run -d=x -listen :1", "run -d=x --listen :1"},
		{"shorthands, the last takes a value", "run -jd -listen", "run -jd -listen"},
		{"joined value ends there", "run --data=x -listen :1", "run --data=x --listen :1"},
		{"single letter is a shorthand", "run -x 1", "run -x 1"},
		{"unknown", "run -lisen :1", "run -lisen :1"},
		{"behind the end of flags", "run -json -- -listen :1", "run --json -- -listen :1"},
		{"end of flags as a value", "run --data -- -listen :1", "run --data -- --listen :1"},
		{"lone dash", "run - -listen :1", "run - --listen :1"},
		{"empty name", "run -= -listen :1", "run -= --listen :1"},
		{"value missing at the end", "run -listen", "run --listen"},
		{"help", "run -help", "run --help"},
		{"number", "run -5", "run -5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := doubleDashes(tree(nil), strings.Fields(tt.in))
			if diff := cmp.Diff(strings.Fields(tt.want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestFlagThatIsASwitchElsewhereTakesItsValue(t *testing.T) {
	root := tree(nil)
	other := &cobra.Command{Use: "third"}
	other.Flags().String("json", "", "a file, where it is a switch in run")
	root.AddCommand(other)
	got := doubleDashes(root, []string{"third", "-json", "-listen"})
	if diff := cmp.Diff([]string{"third", "--json", "-listen"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// However odd a command line is, only dashes are added, and doing it twice
// changes nothing more.
func FuzzDoubleDashes(f *testing.F) {
	f.Add("run -listen :1 -json -- -x")
	f.Add("-verbose run -d -data -jd - -- --")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, " ")
		got := doubleDashes(tree(nil), slices.Clone(args))
		if len(got) != len(args) {
			t.Fatalf("%q: got %q, want as many arguments", args, got)
		}
		for i := range args {
			if got[i] != args[i] && got[i] != "-"+args[i] {
				t.Errorf("%q: argument %d became %q", args, i, got[i])
			}
		}
		if again := doubleDashes(tree(nil), got); !slices.Equal(again, got) {
			t.Errorf("%q: got %q, then %q", args, got, again)
		}
	})
}
