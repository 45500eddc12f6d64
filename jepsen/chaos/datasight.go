package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/transport/api"
)

const sightEvery = 100 * time.Millisecond

// configSight is what a proxy holds as its configuration; its value is the version's place among all, known at the end.
const configSight = "configuration"

// sightings reads from the processes' own files what they hold, until ctx is done.
func (s *sampler) sightings(ctx context.Context) {
	for ctx.Err() == nil {
		for _, p := range s.data.Proxies {
			s.proxySights(p)
		}
		for _, h := range s.data.Hosts {
			s.agentSights(h)
		}
		wait(ctx, sightEvery)
	}
}

func (s *sampler) proxySights(p *ProxyHost) {
	var group struct {
		Stamp api.Stamp `json:"stamp"`
	}
	if held(p.Proc, "groups/"+dataGroup+".json", &group) {
		s.sight(p.Name(), "stamp", group.Stamp.Epoch, group.Stamp.Generation)
	}
	var config struct {
		Applied struct {
			ConfigID string `json:"configId"`
		} `json:"applied"`
	}
	if held(p.Proc, "config.json", &config) && config.Applied.ConfigID != "" {
		s.add(check.Sight{Who: p.Name(), Of: configSight, Text: config.Applied.ConfigID})
	}
}

func (s *sampler) agentSights(h *DBHost) {
	var memory struct {
		Stamp     api.Stamp `json:"stamp"`
		Committed uint64    `json:"committed"`
	}
	if held(h.Agent, "agent.json", &memory) {
		s.sight(h.Agent.Name(), "stamp", memory.Stamp.Epoch, memory.Stamp.Generation)
		s.sight(h.Agent.Name(), "last commit", memory.Stamp.Epoch, memory.Committed)
	}
}

// held reads a file of a process's data directory. Files are replaced, never written in place.
func held(p *fleet.Proc, name string, v any) bool {
	data, err := os.ReadFile(filepath.Join(p.Dir(), "data", name))
	return err == nil && json.Unmarshal(data, v) == nil // a fresh process has none
}

func (s *sampler) sight(who, of string, value ...uint64) {
	s.add(check.Sight{Who: who, Of: of, Value: value, Text: strings.Trim(fmt.Sprint(value), "[]")})
}

// add keeps what differs from the last sight of the same.
func (s *sampler) add(sight check.Sight) {
	sight.At = s.data.run.Timeline.Since()
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := sight.Who + " " + sight.Of; s.latest[key] != sight.Text {
		s.latest[key] = sight.Text
		s.sights = append(s.sights, sight)
	}
}

// judgeSights wants nothing that a process held to have gone down (I6).
func (r *Run) judgeSights(s *fsm.State) {
	versions := map[string]uint64{}
	for i, c := range s.Configs(dataCluster) {
		versions[c.ConfigID] = uint64(i + 1)
	}
	sights := slices.Clone(r.sampler.sights)
	for i, sight := range sights {
		if sight.Of != configSight {
			continue
		}
		n, ok := versions[sight.Text]
		if !ok {
			r.Violation("I6: %s applied the configuration %q, which the keepers do not have", sight.Who, sight.Text)
		}
		sights[i].Value = []uint64{n}
	}
	r.take("I6", check.Rising(sights))
}

// settled asks the databases, the proxies and the keepers whether what was begun is over everywhere (I8).
func (d *Data) settled(ctx context.Context) (check.Verdict, error) {
	g, err := d.Group(ctx)
	if err != nil {
		return check.Verdict{}, err
	}
	var servers []check.DBServer
	for _, h := range d.Hosts {
		s := check.DBServer{Name: h.Name(), Addr: h.Addr()}
		value, err := h.Value(ctx, "SELECT @@global.read_only")
		if err != nil {
			return check.Verdict{}, err
		}
		s.ReadOnly = value != "0"
		rows, err := h.Rows(ctx, "SHOW SLAVE STATUS")
		if err != nil {
			return check.Verdict{}, err
		}
		for _, row := range rows {
			if row["Slave_IO_Running"] == "Yes" && row["Slave_SQL_Running"] == "Yes" {
				s.Source = row["Master_Host"] + ":" + row["Master_Port"]
			}
		}
		servers = append(servers, s)
	}
	var proxies []check.DBProxy
	for _, p := range d.Proxies {
		view, err := p.view(ctx)
		if err != nil {
			return check.Verdict{}, err
		}
		proxies = append(proxies, view)
	}
	return check.Settled(g.Primary, g.OpenSwitch, servers, proxies), nil
}

// view is what the proxy's metrics say of the host group.
func (p *ProxyHost) view(ctx context.Context) (check.DBProxy, error) {
	view := check.DBProxy{Name: p.Name()}
	_, body, err := fleet.Get(ctx, "http://"+p.HTTP()+"/metrics")
	if err != nil {
		return view, err
	}
	for line := range strings.Lines(string(body)) {
		labels, ok := strings.CutPrefix(line, "zero_proxy_group_open{")
		if !ok || !strings.Contains(labels, strconv.Quote(dataGroup)) {
			continue
		}
		if _, primary, ok := strings.Cut(labels, `primary="`); ok {
			view.Primary, _, _ = strings.Cut(primary, `"`)
		}
		view.Open = strings.HasSuffix(strings.TrimSpace(line), " 1")
	}
	return view, nil
}
