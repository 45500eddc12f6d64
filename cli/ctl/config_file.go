package ctl

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
)

// validation is the JSON of "config validate".
type validation struct {
	File     string       `json:"file"`
	Valid    bool         `json:"valid"`
	Cluster  string       `json:"cluster,omitempty"`
	Digest   string       `json:"digest,omitempty"`
	Groups   []groupBrief `json:"groups,omitempty"`
	Users    int          `json:"users"`
	Errors   []finding    `json:"errors"`
	Warnings []finding    `json:"warnings"`
}

// groupBrief is a host group of a file.
type groupBrief struct {
	Name      string   `json:"name"`
	Write     []string `json:"write"`
	Reads     int      `json:"reads"`
	CanSwitch bool     `json:"enableSwitch"`
}

// finding is a remark about a file with its place.
type finding struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

func findingsOf(issues []conf.Issue) []finding {
	out := make([]finding, len(issues))
	for i, s := range issues {
		out[i] = finding{Line: s.Line, Column: s.Column, Path: s.Path, Message: s.Msg}
	}
	return out
}

// devFlag adds --dev.
func devFlag(cmd *cobra.Command, dev *bool) *cobra.Command {
	cmd.Flags().BoolVar(dev, "dev", false, "accept literal passwords, as keepers that run with --dev do")
	return cmd
}

func (a *app) configValidateCommand() *cobra.Command {
	var dev bool
	return devFlag(&cobra.Command{
		Use: "validate FILE", Short: "Check a configuration file, without a keeper", Args: cobra.ExactArgs(1),
		Long: `Checks the whole file and lists every mistake with its line. It asks nobody: what
only the keepers know (which datasource is the primary now) is checked by a push.
FILE may be - for the standard input.`,
		Example: "  zeroctl config validate zero.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			content, err := a.readFile(args[0])
			if err != nil {
				return err
			}
			return a.validate(args[0], content, dev)
		},
	}, &dev)
}

// validate checks a file and shows the result.
func (a *app) validate(name string, content []byte, dev bool) error {
	v := validation{File: name, Errors: []finding{}, Warnings: []finding{}}
	parsed, err := conf.Parse(content, conf.Options{Dev: dev})
	if err != nil {
		wrong, ok := errors.AsType[*conf.Errors](err)
		if !ok {
			return badInput("%s: %w", name, err)
		}
		v.Errors = findingsOf(wrong.Issues)
		return a.answer(view{JSON: v, Err: invalid(name, wrong), Text: func(*text) {}})
	}
	v.Valid, v.Cluster, v.Digest, v.Users = true, parsed.Name, parsed.Digest(), len(parsed.Users)
	v.Warnings = findingsOf(parsed.Warnings)
	for i := range parsed.HostGroups {
		g := &parsed.HostGroups[i]
		v.Groups = append(v.Groups, groupBrief{Name: g.Name, Write: g.Addresses(), Reads: len(g.Read), CanSwitch: g.EnableSwitch})
	}
	return a.answer(view{JSON: v, Text: func(t *text) {
		for _, w := range parsed.Warnings {
			t.Line("%s: warning: %s", name, w)
		}
		t.Marked(good, "%s is valid: cluster %s, %s, %s", name, v.Cluster,
			count(len(v.Groups), "host group", "host groups"), count(v.Users, "user", "users"))
	}})
}

// invalid is the error for a file with mistakes, each with the file's name as
// editors and terminals understand it.
func invalid(name string, wrong *conf.Errors) error {
	lines := make([]error, 0, len(wrong.Issues)+1)
	for _, issue := range wrong.Issues {
		path := ""
		if issue.Path != "" {
			path = issue.Path + ": "
		}
		lines = append(lines, fmt.Errorf("%s:%d:%d: %s%s", name, issue.Line, issue.Column, path, issue.Msg))
	}
	if wrong.More > 0 {
		lines = append(lines, fmt.Errorf("and %d more", wrong.More))
	}
	return &exitError{code: ExitBadInput, api: api.ConfigCheck, err: fmt.Errorf("%s is not valid:\n%w", name, errors.Join(lines...))}
}

// readFile reads a configuration file, or the standard input for "-".
func (a *app) readFile(name string) ([]byte, error) {
	if name == "-" {
		return a.readStdin(conf.MaxContent)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, badInput("%w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, conf.MaxContent+1))
	if err != nil {
		return nil, badInput("read %s: %w", name, err)
	}
	if len(content) > conf.MaxContent {
		return nil, badInput("%s has more than %d bytes; a configuration has not", name, conf.MaxContent)
	}
	return content, nil
}
