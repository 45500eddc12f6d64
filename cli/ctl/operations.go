package ctl

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// onOff reads the word of a command that puts something on or off.
func onOff(word string) (bool, error) {
	switch word {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, usage("%q: want on or off", word)
}

func (a *app) groupMaintenanceCommand() *cobra.Command {
	var why string
	var length time.Duration
	cmd := &cobra.Command{
		Use: "maintenance NAME on|off [--reason TEXT] [--for DURATION]", Short: "Keep a host group from being switched by itself", Args: cobra.ExactArgs(2),
		Long: `In maintenance the keepers do not fail the group over by themselves, and refuse what
proxies ask for. An operator may switch it; the record of that says so. It ends with
--for, or when it is taken off.`,
		Example: "  zeroctl group maintenance orders on --reason \"new disks in db1\" --for 2h\n  zeroctl group maintenance orders off",
		RunE: func(cmd *cobra.Command, args []string) error {
			on, err := onOff(args[1])
			switch {
			case err != nil:
				return err
			case on && why == "":
				return usage("--reason is empty: say why, it is what others will read at night")
			case length < 0 || !on && length != 0:
				return usage("--for goes with on, and is above 0")
			}
			request := api.GroupMaintenanceRequest{HostGroup: args[0], On: on, Reason: why, ForMS: length.Milliseconds()}
			if err := a.write(cmd.Context(), 0, api.GroupMaintenance, request, nil); err != nil {
				return err
			}
			said := "is in maintenance until it is taken off"
			if length > 0 {
				said = "is in maintenance for " + length.String()
			}
			if !on {
				said = "is not in maintenance any more"
			}
			return a.done("group", args[0], said)
		},
	}
	cmd.Flags().StringVar(&why, "reason", "", "why; it is shown to others")
	cmd.Flags().DurationVar(&length, "for", 0, "how long (default: until it is taken off)")
	a.completeArg(cmd, a.groupNames)
	return cmd
}

func (a *app) brakeCommand() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "brake on|off [--reason TEXT]", Short: "Let nothing in the whole cluster be switched by itself", Args: cobra.ExactArgs(1),
		Long: `While the brake is on no host group is failed over by itself, and requests of proxies are
refused. An operator may switch. "zeroctl status" shows it first, and ends with 5.`,
		Example: "  zeroctl brake on --reason \"the network people are at it\"\n  zeroctl brake off",
		RunE: func(cmd *cobra.Command, args []string) error {
			on, err := onOff(args[0])
			switch {
			case err != nil:
				return err
			case on && why == "":
				return usage("--reason is empty: say why, it is what others will read at night")
			}
			if err := a.write(cmd.Context(), 0, api.BrakeSet, api.BrakeRequest{On: on, Reason: why}, nil); err != nil {
				return err
			}
			if on {
				return a.done("brake", "on:", "nothing is switched by itself")
			}
			return a.done("brake", "off:", "host groups are switched by their rules again")
		},
	}
	cmd.Flags().StringVar(&why, "reason", "", "why; it is shown to others")
	return cmd
}

func (a *app) switchAckCommand() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "ack ID [--reason TEXT]", Short: "Acknowledge a switch: the next one by itself is allowed again", Args: cobra.ExactArgs(1),
		Long: `After a failover that no operator asked for, the next one of the host group by itself
waits until somebody has acknowledged the first, or for auto_ack_after (1 h). Who did
is kept in the record.`,
		Example: "  zeroctl switch ack orders-7 --reason \"power supply of db1, replaced\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.write(cmd.Context(), 0, api.SwitchAck, api.SwitchRef{ID: args[0], Reason: why}, nil); err != nil {
				return err
			}
			return a.done("switch", args[0], "is acknowledged")
		},
	}
	cmd.Flags().StringVar(&why, "reason", "", "what it was; it is kept")
	a.completeArg(cmd, a.switchIDs)
	return cmd
}

// switchDryRun shows what a switch would find.
func (a *app) switchDryRun(ctx context.Context, request api.SwitchStartRequest) error {
	var found api.SwitchDryRunAnswer
	if err := a.read(ctx, api.SwitchDryRun, request, &found); err != nil {
		return err
	}
	v := view{JSON: map[string]any{"dryRun": found}, Text: func(t *text) { dryRunText(t, &found) }}
	if !found.Would {
		v.Err = &exitError{code: ExitRefused, api: found.Code, err: fmt.Errorf("the switch would be refused: %s (%d, %s)", found.Error, int32(found.Code), found.Code)}
	}
	return a.answer(v)
}

func dryRunText(t *text, f *api.SwitchDryRunAnswer) {
	if f.Would {
		t.Marked(good, "It would go on: the %s of %s from %s to %s. Nothing was done.", kindName(f.Kind), f.HostGroup, place(f.FromIndex, f.From), place(f.ToIndex, f.To))
	} else {
		t.Marked(bad, "It would be refused: %s. Nothing was done.", f.Error)
	}
	for _, warning := range f.Warnings {
		t.Marked(bad, "! %s", warning)
	}
	t.Line("")
	byItself := "it would be allowed now"
	if f.Automatic != "" {
		byItself = "it would be refused now: " + f.Automatic
	}
	t.Fields("votes", f.VoteRule, "without an operator", f.VoteAuto, "a failover by itself", byItself, "policy", f.Policy)
	if len(f.Checks) > 0 {
		t.Title("RULES")
		checkTable(t, f.Checks)
	}
	if len(f.Candidates) > 0 {
		t.Title("CANDIDATES")
		rows := make([][]any, 0, len(f.Candidates))
		for _, c := range f.Candidates {
			mark := cell{"", plain}
			switch {
			case c.Chosen:
				mark = cell{"first", good}
			case c.Excluded != "":
				mark = cell{"no", bad}
			}
			behind := ""
			if c.BehindMS >= 0 {
				behind = millis(float64(c.BehindMS))
			}
			rows = append(rows, []any{c.Address, mark, c.Received, c.Applied, behind, c.Zone, c.Excluded})
		}
		t.Table([]string{"DATASOURCE", "CHOICE", "RECEIVED", "APPLIED", "WAS BEHIND", "ZONE", "WHY NOT"}, rows)
	}
}

func kindName(kind string) string {
	if kind == api.KindFailover {
		return "failover"
	}
	return "planned switch"
}

// holdText says who holds, and until when.
func holdText(h *api.Hold) string {
	if h == nil {
		return ""
	}
	end := "until it is taken off"
	if h.Until != nil {
		end = "until " + clock(*h.Until)
	}
	return fmt.Sprintf("by %s since %s, %s: %s", h.By, clock(h.Since), end, h.Reason)
}

// groupDetailText shows what is known of one group beside its datasources.
func groupDetailText(t *text, g *api.Group) {
	d := g.Detail
	if d == nil {
		return
	}
	t.Title("WHAT MAY SWITCH IT")
	s := d.Settings
	byItself := "yes"
	switch {
	case !s.EnableSwitch:
		byItself = "no: enable_switch is false"
	case !s.AutoFailover:
		byItself = "no: auto_failover is false"
	case g.Brake != nil:
		byItself = "no: the brake is on, " + holdText(g.Brake)
	case g.Maintenance != nil:
		byItself = "no: it is in maintenance, " + holdText(g.Maintenance)
	case g.AckPending != nil:
		byItself = fmt.Sprintf("no: %s is not acknowledged (zeroctl switch ack %s), until %s", g.AckPending.Switch, g.AckPending.Switch, clock(g.AckPending.Until))
	case g.CooldownLeftMS > 0:
		byItself = "no: cooldown, " + millis(float64(g.CooldownLeftMS)) + " left"
	}
	t.Fields("failover by itself", byItself, "brake", holdText(g.Brake), "maintenance", holdText(g.Maintenance), "cooldown left", cooldownText(g.CooldownLeftMS))
	for _, one := range []struct {
		title string
		s     *api.Switch
	}{{"OPEN SWITCH", d.Open}, {"LAST SWITCH", d.Last}} {
		if one.s == nil {
			continue
		}
		t.Title(one.title)
		t.Marked(stateCell(one.s).style, "%s: %s", one.s.ID, verdict(one.s))
		t.Fields("requested by", one.s.RequestedBy, "reason", one.s.Reason, "started", clock(startOf(one.s)), "acknowledged", ackText(one.s))
	}
	if r := d.Refused; r != nil {
		t.Title("LAST REFUSED")
		t.Fields("at", clock(r.Time), "asked by", r.By, "because", r.Reason, "refused", fmt.Sprintf("%s (%d)", r.Error, int32(r.Code)))
	}
	t.Title("SETTINGS")
	settingsText(t, s)
	if len(d.Proxies) > 0 {
		t.Title("PROXIES")
		proxyTable(t, d.Proxies)
	}
	if len(d.Agents) > 0 {
		t.Title("AGENTS")
		agentTable(t, d.Agents)
	}
}

func cooldownText(ms int64) string {
	if ms <= 0 {
		return "none"
	}
	return millis(float64(ms))
}
