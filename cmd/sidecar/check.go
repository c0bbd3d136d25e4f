package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/foo-protocol/foo-sidecar/config"
)

func newCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Validate a configuration file and print the effective configuration",
		Long: `Check reads a configuration file as the sidecar would, environment variables
included, and prints the effective configuration: every key with its value. If
the file is invalid it prints all that is wrong with it, each with its place, and
exits with 2. Nothing is opened and nothing is connected to.`,
		Example:      "  sidecar check config/sidecar.yaml",
		Args:         cobra.ExactArgs(1),
		SilenceUsage: true,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Load(config.Options{File: args[0]})
			if err != nil {
				return exitError(err, cmd.ErrOrStderr())
			}
			effective, err := config.Marshal(cfg)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(effective)
			return err
		},
	}
}

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file, for editors",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), config.Schema)
			return err
		},
	}
}
