package conf

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// placed is where a server was first seen.
type placed struct {
	group int
	path  string
	line  int
}

// groupReader reads the host groups; it knows the servers of all of them.
type groupReader struct {
	*reader
	servers map[string]placed
}

func (p *reader) hostGroups(root *mapping, c *Config, base account, global switchValues) {
	p.require(root, "host_groups")
	entries := root.list("host_groups", MaxHostGroups)
	if n, ok := root.fields["host_groups"].(*ast.SequenceNode); ok && len(n.Values) == 0 {
		root.fail("host_groups", "is empty; there must be at least one host group")
	}
	r := &groupReader{reader: p, servers: map[string]placed{}}
	for i, m := range entries {
		if m == nil {
			continue
		}
		g := r.hostGroup(m, i, base, global)
		if g.Name != "" && groupNamed(c.HostGroups, g.Name) {
			m.fail("name", "there is another host group %s", g.Name)
			continue
		}
		c.HostGroups = append(c.HostGroups, g)
	}
}

func (r *groupReader) hostGroup(m *mapping, index int, base account, global switchValues) HostGroup {
	r.require(m, "name", "write")
	g := HostGroup{
		Name:         m.name("name"),
		EnableSwitch: m.boolean("enable_switch").or(true),
		MaxConn:      int(m.integer("max_conn").or(preset("host_groups[].max_conn"))),
		InitConn:     int(m.integer("init_conn").or(preset("host_groups[].init_conn"))),
		ActiveWrite:  int(m.integer("active_write").or(preset("host_groups[].active_write"))),
		activeGiven:  m.has("active_write"),
	}
	for _, e := range r.addresses(m, "write") {
		ds, err := ParseDatasource(e.text)
		if r.accept(m, e, index, ds, err) {
			g.Write = append(g.Write, ds)
		}
	}
	for _, e := range r.addresses(m, "read") {
		source, err := parseReadSource(e.text)
		if r.accept(m, e, index, source.Datasource, err) {
			g.Read = append(g.Read, source)
		}
	}
	if g.InitConn > g.MaxConn {
		m.fail("init_conn", "is %d; must not be above max_conn %d", g.InitConn, g.MaxConn)
	}
	if len(g.Write) > 0 && g.ActiveWrite >= len(g.Write) {
		m.fail("active_write", "is %d, but write has %d datasources; must be 0 to %d", g.ActiveWrite, len(g.Write), len(g.Write)-1)
	}
	if g.EnableSwitch && len(g.Write) == 1 {
		m.warnf(m.where("enable_switch"), m.keyPath("enable_switch"), "there is one datasource; nothing can be switched to")
	}

	own := r.account(m)
	if !own.given {
		own = base
	}
	if !own.given {
		m.fail("user", "is required: give user and password here or in basic")
	}
	g.User, g.Password = own.user, own.password

	section := m.section("switch", "switch")
	g.Switch = readSwitch(section).over(global).resolve()
	checkSwitch(section, g.Switch)
	return g
}

// entry is one text of a list of addresses.
type entry struct {
	text, path string
	list       string
	at         position
}

// addresses is the entries under write or read: a comma list in text, or a YAML
// list of text. Entries that are not text are reported and left out.
func (r *groupReader) addresses(m *mapping, name string) []entry {
	n, ok := m.node(name)
	if !ok {
		return nil
	}
	var entries []entry
	add := func(text string, at position) {
		entries = append(entries, entry{strings.TrimSpace(text), indexed(m.keyPath(name), len(entries)), name, at})
	}
	switch n := n.(type) {
	case *ast.StringNode:
		if strings.TrimSpace(n.Value) == "" {
			break
		}
		for text := range strings.SplitSeq(n.Value, ",") {
			add(text, positionOf(n))
		}
	case *ast.SequenceNode:
		for i, value := range n.Values {
			s, ok := value.(*ast.StringNode)
			if !ok {
				m.errorf(positionOf(value), indexed(m.keyPath(name), i), "must be text, not %s (an IPv6 address needs quotes)", describe(value))
				continue
			}
			add(s.Value, positionOf(value))
		}
		if len(n.Values) > 0 && len(entries) == 0 {
			return nil
		}
	default:
		m.fail(name, "must be text or a list of text, not %s", describe(n))
		return nil
	}
	switch {
	case len(entries) > MaxDatasources:
		m.fail(name, "has %d entries; at most %d are allowed", len(entries), MaxDatasources)
		return nil
	case len(entries) == 0 && name == "write":
		m.fail(name, "is empty; there must be at least one datasource")
	}
	return entries
}

// accept reports whether an entry is good: it can be read, and its server is
// neither twice in its list nor in another host group. (In write and read of
// one group it may stand: a replica that serves reads and can become primary.)
func (r *groupReader) accept(m *mapping, e entry, group int, ds Datasource, err error) bool {
	if err != nil {
		if e.text == "" {
			m.errorf(e.at, e.path, "is empty; is there a comma too many?")
		} else {
			m.errorf(e.at, e.path, "%s", err)
		}
		return false
	}
	first, seen := r.servers[ds.Address]
	if seen && first.group != group {
		m.errorf(e.at, e.path, "%s is in another host group already (%s, line %d); a server belongs to one", ds.Address, first.path, first.line)
		return false
	}
	inList := e.list + " " + ds.Address
	if again, twice := r.servers[inList]; twice && again.group == group {
		m.errorf(e.at, e.path, "%s is in this list already (%s)", ds.Address, again.path)
		return false
	}
	here := placed{group, e.path, e.at.line}
	r.servers[inList] = here
	if !seen {
		r.servers[ds.Address] = here
	}
	return true
}
