package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Reference returns the help of every command of root's tree as a page of
// Markdown. The remedy says how the page is made.
func Reference(root *cobra.Command, remedy string) string {
	var page strings.Builder
	fmt.Fprintf(&page, "# The %s command\n\n<!-- Generated: %s. -->\n\n", root.Name(), remedy)
	page.WriteString("Every flag may be written with one dash as well.\n")
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	walk(root, func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" || c.HasParent() && c.Parent().Name() == "completion" {
			return
		}
		c.InitDefaultHelpFlag()
		about := c.Long
		if about == "" {
			about = c.Short
		}
		fmt.Fprintf(&page, "\n## %s\n\n%s.\n\n```text\n%s\n\n%s```\n", c.CommandPath(), strings.TrimSuffix(c.Short, "."), strings.TrimSpace(about), c.UsageString())
	})
	return page.String()
}
