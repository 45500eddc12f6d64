package daemon

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

// versionCommand prints what --version prints, or JSON.
func (f *frame) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Show the version", Args: cobra.NoArgs, Annotations: map[string]string{unread: "yes"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return json.NewEncoder(f.process.out).Encode(ThisBuild())
			}
			_, err := fmt.Fprintf(f.process.out, "%s %s\n", f.app.Name, ThisBuild())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// settingsCommand shows the table and the values in use.
func (f *frame) settingsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "settings", Short: "Show the settings, an example file or the reference", Args: cobra.NoArgs}
	show := &cobra.Command{
		Use: "show", Short: "Show every setting, its value and where it comes from", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, s := range f.settings.Settings() {
				if _, err := fmt.Fprintf(f.process.out, "%-24s %-12s %s\n", s.Name, s.Source, s.Value); err != nil {
					return err
				}
			}
			return nil
		},
	}
	example := &cobra.Command{
		Use: "example", Short: "Print a settings file with every key and its default", Args: cobra.NoArgs,
		Annotations: map[string]string{unread: "yes"},
		Example:     fmt.Sprintf("  %s settings example > %s", f.app.Name, f.settings.DefaultPath()),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(f.process.out, f.settings.Example())
			return err
		},
	}
	reference := &cobra.Command{
		Use: "reference", Short: "Print the table of flags in Markdown", Args: cobra.NoArgs,
		Annotations: map[string]string{unread: "yes"},
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(f.process.out, f.settings.Reference())
			return err
		},
	}
	cmd.AddCommand(show, example, reference)
	return cmd
}
