package mysql

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// MaxReplicas bounds what Discover looks at.
const MaxReplicas = 64

// Login is how to log in to a server that Discover looks at.
type Login struct {
	User     string
	Password func() (string, error)
	TLS      *tls.Config
}

// Member is a server that Discover found.
type Member struct {
	Address  string    `json:"address,omitempty"` // empty if the server does not say (report_host)
	ServerID uint32    `json:"serverId"`
	State    State     `json:"state"` // Reachable is false if it was not to be had
	Findings []Finding `json:"findings"`
}

// OK reports whether nothing is wrong with the member.
func (m Member) OK() bool {
	return !slices.ContainsFunc(m.Findings, func(f Finding) bool { return !f.OK })
}

// Topology is a primary and its replicas, by address.
type Topology struct {
	Primary  Member   `json:"primary"`
	Replicas []Member `json:"replicas"`
}

// DiscoverOptions bounds Discover.
type DiscoverOptions struct {
	// Login gives the login for a server by its address.
	Login func(address string) (Login, error)
	// SemiSync asks for semi-sync on every member.
	SemiSync bool
	// Timeout bounds each statement and connect; 0 means DefaultStatementTimeout.
	Timeout time.Duration
	Logger  hclog.Logger
}

// Discover finds the replicas of the primary at an address by what they report
// to it, looks at each, and says what is wrong for zero's purposes. An error
// means that the primary itself could not be asked. The login needs what the
// agent has on it (InitSQL).
func Discover(ctx context.Context, address string, o DiscoverOptions) (Topology, error) {
	var t Topology
	if o.Login == nil {
		return t, errors.New("discover: no login")
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultStatementTimeout
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	var found []Member
	var dumps []string
	err := o.visit(ctx, address, func(c *session) error {
		st, err := c.state(ctx)
		if err != nil {
			return err
		}
		st.Address = address
		t.Primary = Member{Address: address, ServerID: st.ServerID, State: st, Findings: o.primaryFindings(st)}
		found, dumps, err = c.registered(ctx)
		return err
	})
	if err != nil {
		return t, fmt.Errorf("discover %s: %w", address, err)
	}
	if len(found) > MaxReplicas {
		return t, fmt.Errorf("discover %s: it has %d replicas, more than %d", address, len(found), MaxReplicas)
	}
	if n := len(dumps) - len(found); n > 0 {
		t.Primary.Findings = append(t.Primary.Findings, Finding{Rule: RuleReportHost, Input: listed(dumps),
			Detail: fmt.Sprintf("%d of these readers of the binary log are not registered as replicas", n)})
	}
	var visits sync.WaitGroup
	for i := range found {
		visits.Go(func() { o.examine(ctx, &found[i], t.Primary, dumps) })
	}
	visits.Wait()
	slices.SortFunc(found, func(a, b Member) int {
		return strings.Compare(a.Address, b.Address)
	})
	t.Replicas = found
	markClashes(&t)
	return t, nil
}

// registered lists the replicas that registered themselves at the primary, and
// where the readers of its binary log come from.
func (c *session) registered(ctx context.Context) (found []Member, dumps []string, err error) {
	hosts, err := c.query(ctx, "show slave hosts", "SHOW SLAVE HOSTS")
	if err != nil {
		return nil, nil, err
	}
	for _, r := range hosts {
		m := Member{ServerID: uint32(r.uint("Server_id"))}
		if r["Host"] != "" {
			m.Address = net.JoinHostPort(r["Host"], strconv.FormatUint(r.uint("Port"), 10))
		}
		found = append(found, m)
	}
	now, err := c.clients(ctx, clientsQuery)
	for _, p := range now {
		if strings.HasPrefix(p.command, "Binlog Dump") {
			dumps = append(dumps, p.host)
		}
	}
	return found, dumps, err
}

// visit logs in to a server for one look.
func (o DiscoverOptions) visit(ctx context.Context, address string, f func(*session) error) error {
	if _, _, err := splitAddress(address); err != nil {
		return err
	}
	login, err := o.Login(address)
	if err != nil {
		return fmt.Errorf("login for %s: %w", address, err)
	}
	connector, err := newConnector(dialConfig{address: address, user: login.User, password: login.Password,
		tls: login.TLS, timeout: o.Timeout, log: o.Logger})
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	cctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	conn, err := db.Conn(cctx)
	if err != nil {
		return fmt.Errorf("connect to %s: %w: %w", address, ErrUnreachable, err)
	}
	c := &session{conn: conn, timeout: o.Timeout}
	defer c.close()
	return f(c)
}

func (o DiscoverOptions) primaryFindings(st State) []Finding {
	list := commonFindings(st, nil)
	source := "none"
	if st.Replication != nil {
		source = st.Replication.Source()
	}
	list = append(list,
		check(RuleSource, st.Replication == nil, source, "it is a replica itself: name its primary"),
		check(RuleReadOnly, !st.ReadOnly, onOff(st.ReadOnly), "the primary is read-only"))
	if o.SemiSync {
		list = append(list, semiSyncFinding(st.SemiSync))
	}
	return list
}

// examine looks at one replica.
func (o DiscoverOptions) examine(ctx context.Context, m *Member, primary Member, dumps []string) {
	if m.Address == "" {
		m.Findings = []Finding{{Rule: RuleReportHost, Input: "readers from " + listed(dumps),
			Detail: "the replica does not say where it is: set report_host and report_port and restart it"}}
		return
	}
	err := o.visit(ctx, m.Address, func(c *session) error {
		st, err := c.state(ctx)
		st.Address = m.Address
		m.State = st
		return err
	})
	if err != nil {
		rule := RuleReachable
		if errors.Is(err, ErrUnsupported) {
			rule = RuleVersion
		}
		m.Findings = []Finding{{Rule: rule, Input: m.Address, Detail: err.Error()}}
		return
	}
	st := m.State
	m.Findings = append(commonFindings(st, nil),
		check(RuleReportHost, st.ServerID == m.ServerID, m.Address+" has server_id "+st.Identity,
			fmt.Sprintf("report_host leads to another server than the one that reads with server_id %d", m.ServerID)),
		check(RuleReadOnly, st.ReadOnly, onOff(st.ReadOnly), "a replica must be read-only"),
		check(RuleVersion, st.Parsed.Series() == primary.State.Parsed.Series(), st.Version+", primary "+primary.State.Version,
			"the servers of a group must be of one series"))
	if o.SemiSync {
		m.Findings = append(m.Findings, check(RuleSemiSync, st.SemiSync.ReplicaActive, "replica "+onOff(st.SemiSync.ReplicaActive),
			"the replica is asynchronous: zero turns it on when the group is imported"))
	}
	r := st.Replication
	if r == nil {
		m.Findings = append(m.Findings, Finding{Rule: RuleSource, Input: "none", Detail: ErrNotReplica.Error()})
		return
	}
	running, detail := r.Running(), "start replication"
	if err := r.Err(); err != nil {
		running, detail = false, err.Error()
	}
	m.Findings = append(m.Findings,
		check(RuleSource, r.SourceServerID == primary.ServerID, r.Source(), "it replicates from another server than the primary"),
		check(RuleReplication, running, "io "+r.IORunning+", sql "+r.SQLRunning, detail),
		check(RuleUsingGTID, r.UsingGTID == usingSlavePos, r.UsingGTID, "set MASTER_USE_GTID=slave_pos"))
}

// markClashes adds a finding to each replica whose server_id another member has.
func markClashes(t *Topology) {
	seen := map[uint32]string{t.Primary.ServerID: t.Primary.Address}
	for i := range t.Replicas {
		m := &t.Replicas[i]
		if other, ok := seen[m.ServerID]; ok {
			m.Findings = append(m.Findings, Finding{Rule: RuleServerID, Input: strconv.FormatUint(uint64(m.ServerID), 10),
				Detail: "the server_id is also that of " + orNone(other)})
		}
		seen[m.ServerID] = m.Address
	}
}
