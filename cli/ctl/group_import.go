package ctl

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/conf"
)

// Discover looks at a replication setup: the server at the primary's address
// and its replicas. It changes nothing.
type Discover func(ctx context.Context, r DiscoverRequest) (*Topology, error)

// DiscoverRequest says where to look.
type DiscoverRequest struct {
	Primary  string // host:port
	User     string
	Password conf.Secret
}

// Topology is a replication setup.
type Topology struct {
	Primary  Server    `json:"primary"`
	Replicas []Server  `json:"replicas"`
	Findings []Finding `json:"findings"`
}

// Server is a database server of a setup.
type Server struct {
	Address   string `json:"address"` // host:port, as the proxies would reach it
	Version   string `json:"version"`
	ReadOnly  bool   `json:"readOnly"`
	Reachable bool   `json:"reachable"` // from here
}

// Finding is something about a setup that zero needs otherwise.
type Finding struct {
	Server  string `json:"server"`
	Rule    string `json:"rule"`
	Problem bool   `json:"problem"` // a switch would fail or be unsafe; else advice
	Input   string `json:"input"`   // what was found
	Detail  string `json:"detail,omitempty"`
}

// importFlags are those of "group import".
type importFlags struct {
	primary, user, passwordRef string
	group, cluster             string
}

func (a *app) groupImportCommand() *cobra.Command {
	f := importFlags{user: "root", group: "main", cluster: "main"}
	cmd := &cobra.Command{
		Use: "import --primary HOST:PORT", Short: "Print the configuration for a replication setup that exists", Args: cobra.NoArgs,
		Long: `Logs in to the primary, finds its replicas and prints the configuration for them
on the standard output. What zero would need otherwise is listed on stderr, and
ends the command with exit code 5. Nothing is changed, no keeper is asked.`,
		Example: `  zeroctl group import --primary 10.0.0.1:3306 --user zero --password-ref '${file:/etc/zero/db.pw}' > zero.yaml
  zeroctl config validate zero.yaml`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.groupImport(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.primary, "primary", "", "address of the primary")
	flags.StringVar(&f.user, "user", f.user, "account to log in with, on the replicas too")
	flags.StringVar(&f.passwordRef, "password-ref", "", "its password: ${file:/path} or ${env:NAME}; left out, it has none")
	flags.StringVar(&f.group, "group", f.group, "name of the host group in the configuration")
	flags.StringVar(&f.cluster, "cluster", f.cluster, "name of the cluster in the configuration")
	require(cmd, "primary")
	return cmd
}

func (a *app) groupImport(ctx context.Context, f importFlags) error {
	primary, err := conf.ParseDatasource(f.primary)
	if err != nil {
		return badInput("--primary: %w", err)
	}
	request := DiscoverRequest{Primary: primary.Address, User: f.user}
	if f.passwordRef != "" {
		if request.Password, err = conf.ResolveSecret(f.passwordRef, os.ReadFile, a.streams.LookupEnv, false); err != nil {
			return badInput("--password-ref: %w", err)
		}
	}
	done := a.progress("looking at %s and its replicas", primary.Address)
	defer done()
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	found, err := a.deps.Discover(ctx, request)
	if err != nil {
		return err
	}
	done()
	content := importYAML(f, found, a.deps.Now())
	if _, err := conf.Parse([]byte(content), conf.Options{Dev: f.passwordRef == ""}); err != nil {
		found.Findings = append(found.Findings, Finding{
			Server: f.primary, Rule: "configuration", Problem: true, Input: "not valid yet", Detail: strings.ReplaceAll(err.Error(), "\n", "; "),
		})
	}
	return a.imported(found, content)
}

// imported shows the configuration and, on stderr, the findings.
func (a *app) imported(found *Topology, content string) error {
	problems := 0
	notes := newText(a.streams.Err, a.streams.color(a.streams.ErrTTY))
	for _, n := range found.Findings {
		kind, style := "advice", plain
		if n.Problem {
			problems, kind, style = problems+1, "problem", bad
		}
		notes.Marked(style, "%s: %s: %s is %s", n.Server, kind, n.Rule, cmp.Or(n.Input, "not known"))
		if n.Detail != "" {
			notes.Line("    %s", n.Detail)
		}
	}
	if a.output == formatTable {
		if err := notes.flush(); err != nil {
			return fmt.Errorf("write the findings: %w", err)
		}
	}
	v := view{
		JSON: map[string]any{"config": content, "topology": found},
		Text: func(t *text) { t.Raw(content) },
	}
	if problems > 0 {
		v.Err = unhealthy("%s of this setup; a switch would fail or be unsafe until they are gone", count(problems, "problem", "problems"))
	}
	return a.answer(v)
}

// importYAML is the configuration of a setup. Servers that do not answer are
// in it as comments: a switch to them would fail.
func importYAML(f importFlags, found *Topology, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by zeroctl group import from %s, %s UTC.\n", found.Primary.Address, now.UTC().Format("2006-01-02 15:04"))
	fmt.Fprintf(&b, "basic:\n  config_name: %q\n", f.cluster)
	b.WriteString("  # The account with which proxies probe the databases.\n")
	fmt.Fprintf(&b, "  user: %q\n", f.user)
	if f.passwordRef != "" {
		fmt.Fprintf(&b, "  password: %q\n", f.passwordRef)
	}
	fmt.Fprintf(&b, "host_groups:\n  - name: %q\n", f.group)
	b.WriteString("    # The position is the index; index 0 is the primary now.\n    active_write: 0\n    write:\n")
	fmt.Fprintf(&b, "      - %q%s\n", found.Primary.Address, comment(found.Primary.Version))
	reads := 0
	for _, r := range found.Replicas {
		mark := ""
		if r.Reachable {
			reads++
		} else {
			mark = "# not reachable: "
		}
		fmt.Fprintf(&b, "      %s- %q%s\n", mark, r.Address, comment(r.Version))
	}
	if reads > 0 {
		b.WriteString("    read:\n")
		for _, r := range found.Replicas {
			if r.Reachable {
				fmt.Fprintf(&b, "      - \"%s@1\"\n", r.Address)
			}
		}
	}
	fmt.Fprintf(&b, "# The users that clients log in with, for example:\n# users:\n#   - name: app\n#     password: \"${file:/etc/zero/app.pw}\"\n#     host_group: %q\n", f.group)
	return b.String()
}

// comment is a YAML comment at the end of a line.
func comment(s string) string {
	if s == "" {
		return ""
	}
	return " # " + printable(s, false)
}
