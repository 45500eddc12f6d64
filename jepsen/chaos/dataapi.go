package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/transport/api"
)

// call asks the keepers' leader as an operator.
func (d *Data) call(ctx context.Context, name string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	resp, err := d.run.Quorum.peers.Call(ctx, name, nil, body)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(resp.Data, answer)
}

// Group is the host group as the leader has it.
func (d *Data) Group(ctx context.Context) (api.Group, error) {
	var list api.GroupListAnswer
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := d.call(ctx, api.GroupList, api.GroupListRequest{Name: dataGroup}, &list); err != nil {
		return api.Group{}, err
	}
	if len(list.Groups) != 1 {
		return api.Group{}, fmt.Errorf("there are %d host groups named %s", len(list.Groups), dataGroup)
	}
	return list.Groups[0], nil
}

// StartSwitch asks for a planned switch, as an operator does, and returns its id.
func (d *Data) StartSwitch(ctx context.Context, to int) (string, error) {
	var started api.SwitchStarted
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	err := d.call(ctx, api.SwitchStart, api.SwitchStartRequest{HostGroup: dataGroup, ToIndex: to, Reason: "chaos"}, &started)
	return started.ID, err
}

// Switch is the record of a switch.
func (d *Data) Switch(ctx context.Context, id string) (api.Switch, error) {
	var s api.Switch
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return s, d.call(ctx, api.SwitchShow, api.SwitchRef{ID: id}, &s)
}

// Ended waits until a switch is over, either way.
func (d *Data) Ended(ctx context.Context, id string) (api.Switch, error) {
	var s api.Switch
	err := fleet.Eventually(ctx, 20*time.Millisecond, func(ctx context.Context) (err error) {
		if s, err = d.Switch(ctx, id); err == nil && s.Open {
			err = fmt.Errorf("switch %s is in %s", id, s.State)
		}
		return err
	})
	return s, err
}

// noSwitch waits until no switch is open.
func (d *Data) noSwitch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wholeAgain)
	defer cancel()
	return fleet.Eventually(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		g, err := d.Group(ctx)
		if err == nil && g.OpenSwitch != "" {
			err = fmt.Errorf("switch %s is open", g.OpenSwitch)
		}
		return err
	})
}

// primary is the host that the keepers' record names.
func (d *Data) primary(ctx context.Context) (*DBHost, error) {
	g, err := d.Group(ctx)
	if err != nil {
		return nil, err
	}
	return d.Hosts[g.Writable], nil
}
