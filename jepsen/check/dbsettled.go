package check

// DBServer is a database server after a run.
type DBServer struct {
	Name, Addr string
	ReadOnly   bool
	Source     string // host:port that it replicates from with both threads running; empty: none
}

// DBProxy is what a proxy says of the host group after a run.
type DBProxy struct {
	Name    string
	Primary string // host:port
	Open    bool   // writes are admitted
}

// Settled checks I8 when all faults are over: whatever was begun was completed everywhere or undone everywhere. No switch is
// open; the primary of the record is writable and follows nobody; all others are read-only and follow it; every proxy is open
// and names it.
func Settled(primary, openSwitch string, servers []DBServer, proxies []DBProxy) Verdict {
	f := newFinding()
	if openSwitch != "" {
		f.problem("switch %s is open", openSwitch)
	}
	found := false
	for _, s := range servers {
		switch {
		case s.Addr == primary:
			found = true
			if s.ReadOnly {
				f.problem("%s is the primary of the record, and read-only", s.Name)
			}
			if s.Source != "" {
				f.problem("%s is the primary of the record, and replicates from %s", s.Name, s.Source)
			}
		case !s.ReadOnly:
			f.problem("%s is writable, and the primary of the record is %s", s.Name, primary)
		case s.Source != primary:
			f.problem("%s replicates from %q, and the primary of the record is %s", s.Name, s.Source, primary)
		}
	}
	for _, p := range proxies {
		if !p.Open || p.Primary != primary {
			f.problem("%s writes to %q (open: %v), and the primary of the record is %s", p.Name, p.Primary, p.Open, primary)
		}
	}
	f.stat("servers", len(servers))
	f.stat("proxies", len(proxies))
	switch {
	case !found:
		f.undecided("none of %d servers is %q", len(servers), primary)
	case len(proxies) == 0:
		f.undecided("no proxy was asked")
	}
	return f.verdict()
}
