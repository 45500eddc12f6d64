package conf

import (
	"fmt"
	"slices"
)

// Parse reads and checks a document. The error is an *[Errors] with everything
// that is wrong with it, and is [ErrInvalid]. Parse is pure; references to
// secrets are checked for form only.
func Parse(content []byte, opts Options) (*Config, error) {
	p := &reader{opts: opts, findings: &findings{}}
	text := checkSource(p.findings, content)
	if err := p.err(); err != nil {
		return nil, err
	}
	root := parseDocument(p.findings, text)
	if root == nil {
		return nil, p.err()
	}
	c := p.config(newMapping(p.findings, root, "", ""))
	if err := p.err(); err != nil {
		return nil, err
	}
	sortIssues(p.warnings)
	c.Warnings = p.warnings
	c.digest = Digest(content)
	return c, nil
}

// reader builds a Config from a document.
type reader struct {
	*findings
	opts Options
}

func (p *reader) config(root *mapping) *Config {
	c := &Config{}
	basic := root.section("basic", "basic")
	if !root.has("basic") {
		root.fail("basic", "is required")
	}
	// A broken basic section is one error, not one more for each group.
	account := account{given: true}
	if basic != nil {
		p.require(basic, "config_name")
		c.Name = basic.name("config_name")
		c.SlowLogTime = basic.duration("slow_log_time").or(presetTime("basic.slow_log_time"))
		c.PushWhenFail = basic.boolean("push_when_fail").or(false)
		account = p.account(basic)
	}
	c.StopService = readStopService(root)

	section := root.section("switch", "switch")
	global := readSwitch(section)
	c.Switch = global.resolve()
	checkSwitch(section, c.Switch)

	p.hostGroups(root, c, account, global)
	p.users(root, c)
	return c
}

func readStopService(root *mapping) StopService {
	s := root.section("stop_service", "stop_service")
	return StopService{
		Enabled:          s != nil,
		CloseMySQL:       s.boolean("offline_on_lost_keeper").or(false),
		RejectedSwitches: int(s.integer("offline_swh_rejected_num").or(preset("stop_service.offline_swh_rejected_num"))),
		DownGroups:       max(1, int(s.integer("offline_down_host_num").or(preset("stop_service.offline_down_host_num")))),
		Recover:          s.boolean("offline_recover").or(true),
	}
}

// require reports keys that are absent.
func (p *reader) require(m *mapping, names ...string) {
	for _, name := range names {
		if !m.has(name) {
			m.fail(name, "is required")
		}
	}
}

// account is a user and password that stand together.
type account struct {
	user     string
	password Ref
	// given: one of the keys was there, rightly or not.
	given bool
}

func (p *reader) account(m *mapping) account {
	a := account{given: m.has("user") || m.has("password")}
	if m.has("user") {
		a.user = m.account("user")
	}
	if m.has("password") {
		a.password, _ = m.password("password", p.opts.Dev)
		if !m.has("user") {
			m.fail("password", "there is no user beside it; give both or none")
		}
	} else if m.has("user") && !p.opts.Dev {
		m.fail("user", "there is no password beside it; give both or none")
	}
	return a
}

func (p *reader) users(root *mapping, c *Config) {
	entries := root.list("users", MaxUsers)
	if !root.has("users") {
		p.warnf(root.at, "users", "there are none: no client can log in")
	}
	names := map[string]int{}
	for i, m := range entries {
		if m == nil {
			continue
		}
		u := p.user(m, c)
		if u.Name == "" {
			continue
		}
		if first, twice := names[u.Name]; twice {
			m.fail("name", "is the same as in users[%d]", first)
			continue
		}
		names[u.Name] = i
		c.Users = append(c.Users, u)
	}
}

func (p *reader) user(m *mapping, c *Config) User {
	p.require(m, "name", "host_group")
	if !p.opts.Dev {
		p.require(m, "password")
	}
	u := User{
		Name:           m.account("name"),
		MaxConnections: int(m.integer("max_connections").or(preset("users[].max_connections"))),
		HostGroup:      m.name("host_group"),
		Mapped:         m.has("backend_user"),
	}
	u.Password, _ = m.password("password", p.opts.Dev)
	if u.HostGroup != "" {
		if _, known := c.HostGroup(u.HostGroup); !known {
			m.fail("host_group", "there is no host group %s", u.HostGroup)
		}
	}
	u.BackendUser, u.BackendPassword = u.Name, u.Password
	if u.Mapped {
		u.BackendUser = m.account("backend_user")
		u.BackendPassword, _ = m.password("backend_password", p.opts.Dev)
		if !m.has("backend_password") && !p.opts.Dev {
			m.fail("backend_user", "there is no backend_password beside it; give both or none")
		}
	} else if m.has("backend_password") {
		m.fail("backend_password", "there is no backend_user beside it; give both or none")
	}
	return u
}

// indexed is the path of an entry of a list.
func indexed(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// groupNamed reports whether a group of that name was read.
func groupNamed(groups []HostGroup, name string) bool {
	return slices.ContainsFunc(groups, func(g HostGroup) bool { return g.Name == name })
}
