package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/cluster"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
)

// recoverTimeout bounds the questions to the other keepers.
const recoverTimeout = 30 * time.Second

// errNoData is for the commands that work on a directory.
var errNoData = errors.New("--data is needed: the directory of a keeper that does not run")

// inspectCommand prints what is in the data directory of a stopped keeper.
func (o *options) inspectCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "inspect", Short: "Show what the data directory of a stopped keeper holds", Args: cobra.NoArgs,
		Long: `inspect reads everything that the keeper would read at its start: identity, term and vote, every entry of the log with its
checksum, the newest snapshot, and the state that they make. It changes nothing. It ends with code 1 when something is wrong.`,
		Example: "  zerokeeper inspect --data /var/lib/zero/k1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.data == "" {
				return errNoData
			}
			dir, err := cluster.OpenOffline(o.data, false, nil)
			if err != nil {
				return fmt.Errorf("inspect: %w", err)
			}
			defer dir.Close()
			in := dir.Inspect()
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(in)
			} else {
				err = printInspection(cmd.OutOrStdout(), in)
			}
			if err == nil && len(in.Problems) > 0 {
				err = fmt.Errorf("inspect: %d problems", len(in.Problems))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printInspection(w io.Writer, in cluster.Inspection) error {
	out := &printer{w: w}
	out.line("directory", "%s", in.Dir)
	out.line("member", "%s (%s), start %s", in.MemberID, in.Name, in.Incarnation)
	out.line("cluster", "%s, epoch %d", in.ClusterID, in.Epoch)
	out.line("term", "%d; last vote in term %d for %s", in.Term, in.VoteTerm, in.Vote)
	out.line("log", "%d to %d (%d entries, %d bytes), the last of term %d", in.First, in.Last, in.Entries, in.Bytes, in.LastTerm)
	for _, s := range in.Snapshots {
		out.line("snapshot", "%s: entry %d, term %d, %d bytes", s.ID, s.Index, s.Term, s.Bytes)
	}
	for _, s := range in.Configuration {
		kind := "voter"
		if !s.Voter {
			kind = "non-voter"
		}
		out.line(kind, "%s at %s", s.ID, s.Address)
	}
	out.line("state", "entry %d, hash %s (with what may not be committed)", in.StateIndex, in.StateHash)
	for _, p := range in.Problems {
		out.line("PROBLEM", "%s", p)
	}
	return out.err
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(name, format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, "%-10s "+format+"\n", append([]any{name}, args...)...)
	}
}

// recoverCommand mends what cannot mend itself.
func (o *options) recoverCommand() *cobra.Command {
	var (
		skip       uint64
		alone, yes bool
	)
	cmd := &cobra.Command{
		Use: "recover", Short: "Mend a group that cannot mend itself (offline, dangerous)", Args: cobra.NoArgs,
		Long: `recover works on the data directory of a keeper that does not run. It says what it would do, and does it with --yes; raft.db as it
was is kept beside it. Both ways raise the cluster epoch, so that proxies and agents can tell what was decided before,
and freeze every host group until its agents have said who its primary is.

  --skip INDEX  for a group all of whose keepers stop at the same entry of the log: the entry is replaced by one that only
                raises the epoch. Run it on EVERY keeper of the group, with the same program, before any of them is started.
  --alone       for a group that lost a majority of its keepers for good: this one becomes its only member. What only the
                others had is LOST. None of the others may ever be started with its old directory again. Let new ones join.`,
		Example: `  zerokeeper recover --data /var/lib/zero/k1 --skip 4711
  zerokeeper recover --data /var/lib/zero/k1 --skip 4711 --yes`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.data == "":
				return errNoData
			case alone == cmd.Flags().Changed("skip"):
				return errors.New("recover: one of --skip INDEX and --alone is needed")
			}
			dir, err := cluster.OpenOffline(o.data, true, nil)
			if err != nil {
				return fmt.Errorf("recover: %w", err)
			}
			out := cmd.OutOrStdout()
			if alone {
				err = o.alone(cmd.Context(), out, dir, yes)
			} else {
				err = skipEntry(out, dir, skip, yes)
			}
			if err = errors.Join(err, dir.Close()); err != nil {
				return fmt.Errorf("recover: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().Uint64Var(&skip, "skip", 0, "index of the log entry to step over")
	cmd.Flags().BoolVar(&alone, "alone", false, "make this keeper the only one of its group")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

func skipEntry(w io.Writer, dir *cluster.Offline, index uint64, yes bool) error {
	r, err := dir.Skip(index, yes)
	if err != nil {
		return err
	}
	out := &printer{w: w}
	out.line("entry", "%d of term %d halts this keeper: %s", r.Index, r.Term, r.Was)
	if !yes {
		out.line("would", "replace it by one that raises the cluster epoch to %d, and keep raft.db as it is beside it. What it should have done is lost", r.Epoch)
		out.line("next", "run it again with --yes, and on EVERY keeper of the group before any is started")
		return out.err
	}
	out.line("replaced", "it raises the cluster epoch to %d now", r.Epoch)
	out.line("backup", "%s", r.Backup)
	if r.Next != "" {
		out.line("next", "it halts again at %s", r.Next)
		return out.err
	}
	out.line("next", "do the same on EVERY keeper of the group, and compare entry, term and epoch; then start them")
	return out.err
}

func (o *options) alone(ctx context.Context, w io.Writer, dir *cluster.Offline, yes bool) error {
	peers, err := transport.NewClient(transport.ClientConfig{
		Endpoints: []string{o.listen}, Hello: api.HelloRequest{Role: api.RoleKeeper, ID: "recover"}, Dial: dial,
	})
	if err != nil {
		return err
	}
	defer peers.Close()
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	r, err := dir.Alone(ctx, cluster.PeersOver(peers), yes)
	if err != nil {
		return err
	}
	out := &printer{w: w}
	if !yes {
		out.line("would", "make this keeper the only member, with everything in its log up to entry %d, and raise the cluster epoch to %d", r.Index-1, r.Epoch)
		out.line("lost", "whatever was acknowledged and is not in this log. Of all keepers that are left, recover the one whose log ends last (zerokeeper inspect)")
	} else {
		out.line("alone", "this keeper is the only member now; entry %d raises the cluster epoch to %d", r.Index, r.Epoch)
		out.line("backup", "%s", r.Backup)
	}
	for _, other := range r.Others {
		out.line("removed", "%s", other)
	}
	out.line("next", "never start those again with their old directories: delete these, and let them join as new members")
	if !yes {
		out.line("then", "run it again with --yes")
	}
	return out.err
}
