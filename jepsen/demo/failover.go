package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/zerokeeper/zero/jepsen/load"
	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/api"
)

const (
	failoverSpan = 10 * time.Second // from the kill of the primary: what clients saw of it
	lookEvery    = 50 * time.Millisecond
	rejoinLimit  = 20 * time.Second // for the old primary to become a replica, or to say why it cannot
)

// killPrimary kills the primary's database server. Nobody tells zero.
func (d *demo) killPrimary(ctx context.Context, r *report) error {
	before, err := d.group(ctx)
	if err != nil {
		return err
	}
	d.dead = d.stage.Servers[before.Writable]
	d.say("kill -9 of the primary's MariaDB, %s; its agent lives", d.dead.Name())
	begin := time.Now()
	if err := d.dead.Kill(); err != nil {
		return err
	}
	group := before
	for group.Writable == before.Writable || group.OpenSwitch != "" {
		if time.Since(begin) > failoverSpan {
			return fmt.Errorf("%s is dead for %s and no other server is the primary: %+v", d.dead.Name(), failoverSpan, group)
		}
		if err := wait(ctx, lookEvery); err != nil {
			return err
		}
		if group, err = d.group(ctx); err != nil {
			return err
		}
	}
	took := time.Since(begin)
	if err := wait(ctx, failoverSpan-time.Since(begin)); err != nil {
		return err
	}
	d.primary = group.Writable
	span := load.Span{From: begin, To: begin.Add(failoverSpan)}
	s := switchReport{Kind: kindFailover, ID: group.LastSwitch, Took: ms(took), Blackout: ms(d.load.Gap(span)), Steady: ms(d.load.Gap(load.Span{From: begin.Add(-steady), To: begin}))}
	s.count(d.load.Failures(span))
	r.Switches = append(r.Switches, s)
	d.say("%s is the primary now: the longest pause between two acknowledged writes was %.0f ms (normal: %.0f ms); %d writes in doubt, %d aborted, %d other errors",
		d.stage.Servers[d.primary].Name(), s.Blackout, s.Steady, s.Errors.InDoubt, s.Errors.Aborted, s.Errors.Other)
	return nil
}

// group is the host group as the keepers see it.
func (d *demo) group(ctx context.Context) (api.Group, error) {
	var out string
	if err := d.stage.Zeroctl(ctx, &out, "-o", "json", "group", "show", stage.Group); err != nil {
		return api.Group{}, err
	}
	var list api.GroupListAnswer
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return api.Group{}, err
	}
	if len(list.Groups) != 1 {
		return api.Group{}, fmt.Errorf("there are %d host groups named %s", len(list.Groups), stage.Group)
	}
	return list.Groups[0], nil
}

// rejoin starts the server that was killed, as its host would, with what its agent wrote for it: it takes back what nobody
// acknowledged, and its agent makes it a replica of the new primary, or says why that cannot be.
func (d *demo) rejoin(ctx context.Context) error {
	options, err := d.stage.ServerOptions(slices.Index(d.stage.Servers, d.dead))
	if err != nil {
		return err
	}
	if err := d.dead.Start(ctx, options...); err != nil {
		return err
	}
	begin := time.Now()
	for time.Since(begin) < rejoinLimit {
		group, err := d.group(ctx)
		if err != nil {
			return err
		}
		for _, s := range group.Datasources {
			switch {
			case s.Address != d.dead.Addr():
			case s.Role == "replica" && s.Alarm == "" && s.ReadOnly:
				d.say("%s was started again and follows %s", d.dead.Name(), d.stage.Servers[d.primary].Name())
				return nil
			case s.Alarm != "" && s.ReadOnly && time.Since(begin) > rejoinLimit/2:
				d.say("%s was started again, is read-only and needs a person: %s", d.dead.Name(), s.Alarm)
				return nil
			}
		}
		if err := wait(ctx, lookEvery); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s was started again and is neither a replica nor says why not", d.dead.Name())
}
