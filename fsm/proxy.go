package fsm

// Statuses of proxies and agents (original, C4).
const (
	StatusReady = "ready"
	StatusUp    = "up"
	StatusLost  = "lost"
	StatusUnreg = "unreg"
)

// Limits of what may be registered.
const (
	maxProxies = 10000
	maxName    = 256 // bytes of an id, a name or an address
	maxText    = 4096
)

func validName(names ...string) bool {
	for _, n := range names {
		if n == "" || len(n) > maxName {
			return false
		}
	}
	return true
}

// clip bounds a text that people wrote.
func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}

// RegisterProxy puts a proxy on the list, as ready. One that is there already
// starts anew: what it had acknowledged is forgotten with its incarnation.
type RegisterProxy struct {
	Cluster     string
	ID          string
	Address     string
	Version     string
	Incarnation string
}

func (*RegisterProxy) commandType() Type { return typeRegisterProxy }

func (c *RegisterProxy) apply(t *txn) ([]byte, *Refusal) {
	if !validName(c.Cluster, c.ID, c.Address) {
		return nil, refuse(CodeBadRequest, "a proxy needs a cluster, an id and an address of 1 to %d bytes each", maxName)
	}
	old := first[Proxy](t.Txn, tableProxies, key(c.Cluster, c.ID))
	if old == nil && t.count(tableProxies, maxProxies) >= maxProxies {
		return nil, refuse(CodeRateLimited, "%d proxies are registered: no more can be", maxProxies)
	}
	p := &Proxy{ID: c.ID, Cluster: c.Cluster, Address: c.Address, Status: StatusReady, Version: c.Version, Incarnation: c.Incarnation, Since: t.header.Time}
	if old != nil && old.Incarnation == c.Incarnation {
		p.ConfVersion, p.ConfError = old.ConfVersion, old.ConfError
	}
	t.put(tableProxies, p)
	return nil, nil
}

// SetProxyStatus moves a proxy from one status to another. It is refused when
// the proxy is not in From any more.
type SetProxyStatus struct {
	Cluster string
	ID      string
	From    string
	To      string
	Reason  string
	Force   bool // also unregister the last proxy that is up
}

func (*SetProxyStatus) commandType() Type { return typeSetProxyStatus }

func (c *SetProxyStatus) apply(t *txn) ([]byte, *Refusal) {
	old := first[Proxy](t.Txn, tableProxies, key(c.Cluster, c.ID))
	if old == nil {
		return nil, refuse(CodeKeyMissing, "no proxy %s in cluster %s", c.ID, c.Cluster)
	}
	if old.Status == c.To {
		return nil, nil
	}
	if c.From != "" && old.Status != c.From {
		return nil, refuse(CodeStaleGeneration, "proxy %s is %s, not %s", c.ID, old.Status, c.From)
	}
	switch c.To {
	case StatusReady, StatusUp, StatusLost:
	case StatusUnreg:
		if !c.Force && old.Status == StatusUp && t.proxiesUp(c.Cluster) <= 1 {
			return nil, refuse(CodeLastProxy, "proxy %s is the last one of cluster %s that is up: unregistering it would leave clients without a way; force it if that is meant", c.ID, c.Cluster)
		}
	default:
		return nil, refuse(CodeBadRequest, "no status %q", c.To)
	}
	p := *old
	p.Status, p.Since, p.Reason = c.To, t.header.Time, clip(c.Reason)
	t.put(tableProxies, &p)
	return nil, nil
}

func (t *txn) proxiesUp(cluster string) int {
	up := 0
	each(t.Txn, tableProxies, key(cluster), func(p *Proxy) bool {
		if p.Status == StatusUp {
			up++
		}
		return true
	})
	return up
}

// count counts the rows of a table, no further than most.
func (t *txn) count(table string, most int) int {
	n := 0
	rows, err := t.Get(table, "id_prefix", []byte(nil))
	if err != nil {
		t.err = err
		return most
	}
	for n < most && rows.Next() != nil {
		n++
	}
	return n
}

// RemoveProxy takes a proxy off the list: it unregistered, or was lost for
// long.
type RemoveProxy struct {
	Cluster string
	ID      string
	From    string // refused unless it is in this status
}

func (*RemoveProxy) commandType() Type { return typeRemoveProxy }

func (c *RemoveProxy) apply(t *txn) ([]byte, *Refusal) {
	p := first[Proxy](t.Txn, tableProxies, key(c.Cluster, c.ID))
	if p == nil {
		return nil, refuse(CodeKeyMissing, "no proxy %s in cluster %s", c.ID, c.Cluster)
	}
	if p.Status != c.From {
		return nil, refuse(CodeStaleGeneration, "proxy %s is %s, not %s", c.ID, p.Status, c.From)
	}
	t.drop(tableProxies, p)
	return nil, nil
}

// AckConfig records that a proxy applied a configuration, or why it did not.
type AckConfig struct {
	Cluster     string
	ID          string
	Incarnation string
	ConfigID    string // what it runs now
	Error       string // why it refused a newer one; empty when it did not
}

func (*AckConfig) commandType() Type { return typeAckConfig }

func (c *AckConfig) apply(t *txn) ([]byte, *Refusal) {
	old := first[Proxy](t.Txn, tableProxies, key(c.Cluster, c.ID))
	if old == nil {
		return nil, refuse(CodeKeyMissing, "no proxy %s in cluster %s", c.ID, c.Cluster)
	}
	if old.Incarnation != c.Incarnation {
		return nil, refuse(CodeStaleGeneration, "proxy %s was restarted since", c.ID)
	}
	p := *old
	p.ConfVersion, p.ConfError = c.ConfigID, clip(c.Error)
	t.put(tableProxies, &p)
	return nil, nil
}
