package mysql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Finding is one rule with what it looked at and its verdict.
type Finding struct {
	Rule   string `json:"rule"`
	OK     bool   `json:"ok"`
	Input  string `json:"input"`            // what was found
	Detail string `json:"detail,omitempty"` // what to do, if not OK
}

// The rules of Preflight and Discover.
const (
	RuleLogBin           = "log_bin"
	RuleLogSlaveUpdates  = "log_slave_updates"
	RuleGTIDStrict       = "gtid_strict_mode"
	RuleServerID         = "server_id"
	RuleVersion          = "version"
	RuleSingleSource     = "single_source"
	RuleWriters          = "read_only_admin"
	RuleEvents           = "events"
	RuleSemiSync         = "semi_sync"
	RuleReadOnly         = "read_only"
	RulePreparedXA       = "prepared_xa"
	RuleLongTransactions = "long_transactions"
	RuleSource           = "source"
	RuleReplication      = "replication_running"
	RuleUsingGTID        = "using_gtid"
	RuleLag              = "lag"
	RuleErrant           = "errant"
	RuleReplicationTLS   = "replication_tls"
	RuleReportHost       = "report_host"
	RuleReachable        = "reachable"
	RuleDomain           = "gtid_domain_id"
)

// Defaults of PreflightOptions.
const (
	DefaultMaxLag         = time.Second
	DefaultMaxTransaction = 5 * time.Second
)

// PreflightOptions says what the server is examined as, and against what.
type PreflightOptions struct {
	Role Role // RoleMaster: the primary that will be left; RoleSlave: the candidate
	// Peers are the server_ids of the group's other servers, by address.
	Peers map[string]uint32

	// Of the candidate: whom it must replicate from, that server's version, and
	// its State.Executed, read after the candidate's. Empty ones are not compared.
	Source        string
	SourceVersion string
	SourceState   string
	MaxLag        time.Duration // 0 means DefaultMaxLag

	// Of the primary: a transaction that is older refuses the switch. 0 means
	// DefaultMaxTransaction.
	MaxTransaction time.Duration
}

// Preflight examines the server for a switch, changing nothing. An error means
// that it could not be asked; what is wrong with it is in the findings.
func (s *Server) Preflight(ctx context.Context, o PreflightOptions) ([]Finding, error) {
	if o.Role != RoleMaster && o.Role != RoleSlave {
		return nil, fmt.Errorf("preflight of %s: role %q is neither %q nor %q", s.cfg.Address, clip(string(o.Role)), RoleMaster, RoleSlave)
	}
	c, err := s.session(ctx, s.work)
	if err != nil {
		return nil, fmt.Errorf("preflight: %w", err)
	}
	defer c.close()
	list, err := s.preflight(ctx, c, o)
	if err != nil {
		return list, fmt.Errorf("preflight of %s: %w", s.cfg.Address, err)
	}
	return list, nil
}

func (s *Server) preflight(ctx context.Context, c *session, o PreflightOptions) ([]Finding, error) {
	st, err := c.state(ctx)
	st.Address = s.cfg.Address
	if errors.Is(err, ErrUnsupported) {
		return []Finding{{Rule: RuleVersion, Input: st.Version, Detail: err.Error()}}, nil
	}
	if err != nil {
		return nil, err
	}
	list := commonFindings(st, o.Peers)
	admins, err := s.adminFindings(ctx, c, st, o.Role)
	if err != nil {
		return list, err
	}
	list = append(list, admins...)
	if o.Role == RoleSlave {
		return append(list, s.candidateFindings(st, o)...), nil
	}
	more, err := s.primaryFindings(ctx, c, st, o)
	return append(list, more...), err
}

// check makes a finding; detail counts only if it is not OK.
func check(rule string, ok bool, input, detail string) Finding {
	if ok {
		detail = ""
	}
	return Finding{Rule: rule, OK: ok, Input: input, Detail: detail}
}

func commonFindings(st State, peers map[string]uint32) []Finding {
	clash := ""
	for _, address := range slices.Sorted(maps.Keys(peers)) {
		if address != st.Address && peers[address] == st.ServerID {
			clash = address
		}
	}
	return []Finding{
		check(RuleLogBin, st.LogBin, onOff(st.LogBin), "set log_bin and restart: a primary needs a binary log"),
		check(RuleLogSlaveUpdates, st.LogSlaveUpdates, onOff(st.LogSlaveUpdates), "set log_slave_updates and restart: the others follow this server after a switch"),
		check(RuleGTIDStrict, st.GTIDStrict, onOff(st.GTIDStrict), "set gtid_strict_mode=1: without it errant transactions hide"),
		check(RuleServerID, st.ServerID != 0 && clash == "", strconv.FormatUint(uint64(st.ServerID), 10), "the server_id is also that of "+clash),
		check(RuleSingleSource, st.NamedConnections == 0, strconv.Itoa(st.NamedConnections)+" named connections", "zero supports one source, unnamed"),
	}
}

// adminFindings asks who could write past read_only, and what would run by itself.
func (s *Server) adminFindings(ctx context.Context, c *session, st State, role Role) ([]Finding, error) {
	w, err := c.writers(ctx, st.Parsed)
	if err != nil {
		return nil, err
	}
	others := w.except(append(slices.Clone(s.cfg.AdminUsers), s.cfg.User))
	list := []Finding{check(RuleWriters, len(others) == 0, listed(others),
		"read_only does not stop these accounts: REVOKE READ_ONLY ADMIN from them, or name them as administrators")}
	if role == RoleMaster {
		events, err := c.enabledEvents(ctx)
		if err != nil {
			return list, err
		}
		ok := s.cfg.ManageEvents || len(events) == 0 || st.EventScheduler != "ON"
		list = append(list, check(RuleEvents, ok, "scheduler "+st.EventScheduler+", enabled: "+listed(events),
			"events keep writing, and replicas have them disabled: disable them, or let the agent manage events"))
	}
	return list, nil
}

func (s *Server) candidateFindings(st State, o PreflightOptions) []Finding {
	list := []Finding{check(RuleReadOnly, st.ReadOnly, onOff(st.ReadOnly), "a replica must be read-only: somebody may be writing to it")}
	if o.SourceVersion != "" {
		source, err := ParseVersion(o.SourceVersion)
		list = append(list, check(RuleVersion, err == nil && source.Series() == st.Parsed.Series(), st.Version+", source "+clip(o.SourceVersion),
			"the servers of a group must be of one series"))
	}
	list = append(list, domainFinding(st))
	if s.cfg.SemiSync {
		list = append(list, check(RuleSemiSync, st.SemiSync.ReplicaActive, "replica "+onOff(st.SemiSync.ReplicaActive),
			"the candidate acknowledges nothing: turn rpl_semi_sync_slave_enabled on and restart its IO thread"))
	}
	if r := st.Replication; r == nil {
		list = append(list, Finding{Rule: RuleSource, Input: "none", Detail: ErrNotReplica.Error()})
	} else {
		list = append(list, s.replicationFindings(r, o)...)
	}
	if o.SourceState != "" {
		list = append(list, errantFinding(st, o.SourceState))
	}
	return list
}

func (s *Server) replicationFindings(r *Replication, o PreflightOptions) []Finding {
	var list []Finding
	if o.Source != "" {
		list = append(list, check(RuleSource, r.Source() == o.Source, r.Source(), "the candidate must replicate from "+o.Source))
	}
	maxLag := o.MaxLag
	if maxLag == 0 {
		maxLag = DefaultMaxLag
	}
	running, detail := r.Running(), "start replication"
	if err := r.Err(); err != nil {
		running, detail = false, err.Error()
	}
	lag, behind := r.behind(), "unknown"
	if lag >= 0 {
		behind = lag.String()
	}
	if r.SQLDelay > 0 {
		behind += ", delayed by " + strconv.FormatInt(r.SQLDelay, 10) + " s on purpose"
	}
	return append(list,
		check(RuleReplication, running, "io "+r.IORunning+", sql "+r.SQLRunning, detail),
		check(RuleUsingGTID, r.UsingGTID == usingSlavePos, r.UsingGTID, "set MASTER_USE_GTID=slave_pos"),
		check(RuleLag, lag >= 0 && lag <= maxLag && r.SQLDelay == 0, behind, "at most "+maxLag.String()+" is allowed"),
		check(RuleReplicationTLS, r.TLS == s.cfg.ReplicationTLS.Enabled, onOff(r.TLS),
			"replication TLS differs from the agent's configuration, which a switch applies"),
	)
}

func errantFinding(st State, sourceState string) Finding {
	f := Finding{Rule: RuleErrant, Input: "none"}
	mine, err := st.Executed()
	if err == nil {
		var source GTIDState
		if source, err = ParseGTIDState(sourceState); err == nil {
			errant := Errant(mine, source)
			if f.OK = len(errant) == 0; !f.OK {
				f.Input, f.Detail = clip(joinGTIDs(errant)), "save the errant transactions and clone the server anew"
			}
		}
	}
	if err != nil {
		f.Input, f.Detail = "unknown", err.Error()
	}
	return f
}

func (s *Server) primaryFindings(ctx context.Context, c *session, st State, o PreflightOptions) ([]Finding, error) {
	source := "none"
	if st.Replication != nil {
		source = st.Replication.Source()
	}
	list := []Finding{
		check(RuleSource, st.Replication == nil, source, "a primary must have no source: zero supports no chains"),
		check(RuleReadOnly, !st.ReadOnly, onOff(st.ReadOnly), "the primary is read-only"),
	}
	if s.cfg.SemiSync {
		list = append(list, semiSyncFinding(st.SemiSync))
	}
	xa, err := c.query(ctx, "xa recover", "XA RECOVER")
	if err != nil {
		return list, err
	}
	list = append(list, check(RulePreparedXA, len(xa) == 0, strconv.Itoa(len(xa)), "commit or roll back the prepared XA transactions"))

	limit := o.MaxTransaction
	if limit == 0 {
		limit = DefaultMaxTransaction
	}
	s.transactionsRead()
	long, err := c.query(ctx, "list transactions", `SELECT p.ID, p.USER FROM information_schema.INNODB_TRX t
JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id
WHERE (t.trx_rows_modified > 0 OR t.trx_rows_locked > 0) AND t.trx_started < NOW() - INTERVAL ? MICROSECOND ORDER BY t.trx_started`,
		limit.Microseconds())
	if err != nil {
		return list, err
	}
	names := make([]string, len(long))
	for i, r := range long {
		names[i] = "session " + r["ID"] + " of " + r["USER"]
	}
	return append(list, check(RuleLongTransactions, len(long) == 0, listed(names),
		"transactions with changes or locks are older than "+limit.String()+": they would be killed")), nil
}

func semiSyncFinding(ss SemiSync) Finding {
	input := fmt.Sprintf("source %s, %s, timeout %d ms, %d replicas, %d sessions wait",
		onOff(ss.SourceActive), ss.WaitPoint, ss.TimeoutMS, ss.Clients, ss.WaitSessions)
	f := Finding{Rule: RuleSemiSync, Input: input}
	switch {
	case !ss.SourceEnabled || !ss.SourceActive:
		f.Detail = "semi-sync is not active on the primary"
	case ss.Clients == 0:
		f.Detail = "no replica acknowledges"
	default:
		f.OK, f.Detail = ss.Sound()
	}
	return f
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// listed names at most a few, and how many there are.
func listed(names []string) string {
	const most = 5
	switch n := len(names); {
	case n == 0:
		return "none"
	case n > most:
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", n-most)
	default:
		return strings.Join(names, ", ")
	}
}
