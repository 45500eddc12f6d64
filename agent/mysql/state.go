package mysql

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// State is what the server is.
type State struct {
	Address   string  `json:"address"`
	Reachable bool    `json:"reachable"`
	Flavor    Flavor  `json:"flavor,omitempty"`
	Version   string  `json:"version,omitempty"` // as the server writes it
	Parsed    Version `json:"-"`

	ServerID uint32 `json:"serverId"`
	// ServerUID is @@server_uid where the server has it. It is a hash of the
	// network card's address and the port: containers share it, and a new card
	// changes it. It is for people; Identity is for comparing.
	ServerUID string `json:"serverUid,omitempty"`
	// Identity is what orders are checked against (R24), beside the address: the
	// server_id in decimal, which Preflight proves to be unique in a group.
	Identity string `json:"identity,omitempty"`
	DataDir  string `json:"dataDir,omitempty"`

	ReadOnly        bool   `json:"readOnly"`
	LogBin          bool   `json:"logBin"`
	LogSlaveUpdates bool   `json:"logSlaveUpdates"`
	SyncBinlog      uint64 `json:"syncBinlog"`
	GTIDStrict      bool   `json:"gtidStrict"`
	EventScheduler  string `json:"eventScheduler,omitempty"` // ON, OFF or DISABLED

	GTIDBinlogPos   string `json:"gtidBinlogPos"`
	GTIDBinlogState string `json:"gtidBinlogState"`
	GTIDSlavePos    string `json:"gtidSlavePos"`
	GTIDCurrentPos  string `json:"gtidCurrentPos"`

	BinlogFile     string `json:"binlogFile,omitempty"`
	BinlogPosition uint64 `json:"binlogPosition,omitempty"` // bytes

	SemiSync    SemiSync     `json:"semiSync"`
	Replication *Replication `json:"replication,omitempty"` // nil: the server has no source
	// NamedConnections counts replication connections besides the default one,
	// which zero does not support.
	NamedConnections int `json:"namedConnections,omitempty"`

	GTIDDomain uint32 `json:"gtidDomain"` // in which it writes

	Connections uint64 `json:"connections"` // open now
	Uptime      uint64 `json:"uptime"`      // seconds
}

// SemiSync is the server's part in semi-synchronous replication.
type SemiSync struct {
	SourceEnabled bool   `json:"sourceEnabled"`
	SourceActive  bool   `json:"sourceActive"` // commits do wait
	WaitPoint     string `json:"waitPoint,omitempty"`
	TimeoutMS     uint64 `json:"timeoutMs"`
	WaitNoReplica bool   `json:"waitNoReplica"` // wait even if no replica is there
	Clients       uint64 `json:"clients"`       // replicas that acknowledge
	WaitSessions  uint64 `json:"waitSessions"`  // sessions that wait now
	Acknowledged  uint64 `json:"acknowledged"`  // commits, since the server's start

	ReplicaEnabled bool `json:"replicaEnabled"`
	ReplicaActive  bool `json:"replicaActive"`
}

// Executed is all that the server has, whoever wrote it and wherever that is
// remembered: a cloned server's binary log starts empty, its gtid_slave_pos
// does not.
func (s State) Executed() (GTIDState, error) {
	return executed(s.GTIDBinlogState, s.GTIDSlavePos)
}

func executed(binlogState, slavePos string) (GTIDState, error) {
	st, err := ParseGTIDState(binlogState)
	if err != nil {
		return nil, fmt.Errorf("gtid_binlog_state: %w", err)
	}
	pos, err := ParseGTIDState(slavePos)
	if err != nil {
		return nil, fmt.Errorf("gtid_slave_pos: %w", err)
	}
	return st.Merge(pos), nil
}

const variablesQuery = `SHOW GLOBAL VARIABLES WHERE Variable_name IN (
'version','server_id','server_uid','datadir','read_only','log_bin','log_slave_updates','sync_binlog',
'gtid_strict_mode','gtid_domain_id','gtid_binlog_pos','gtid_binlog_state','gtid_slave_pos','gtid_current_pos','event_scheduler',
'rpl_semi_sync_master_enabled','rpl_semi_sync_master_wait_point','rpl_semi_sync_master_timeout',
'rpl_semi_sync_master_wait_no_slave','rpl_semi_sync_slave_enabled')`

const statusQuery = `SHOW GLOBAL STATUS WHERE Variable_name IN (
'Threads_connected','Uptime','Rpl_semi_sync_master_status','Rpl_semi_sync_master_clients',
'Rpl_semi_sync_master_wait_sessions','Rpl_semi_sync_master_yes_tx','Rpl_semi_sync_slave_status')`

// State asks the server for all of it in four round trips. If the server cannot
// be reached, Reachable is false and the error says why.
func (s *Server) State(ctx context.Context) (State, error) {
	c, err := s.session(ctx, s.work)
	if err != nil {
		return State{Address: s.cfg.Address}, err
	}
	defer c.close()
	st, err := c.state(ctx)
	st.Address = s.cfg.Address
	if err == nil {
		err = s.keepReady(ctx)
	}
	if err != nil {
		return st, fmt.Errorf("state of %s: %w", s.cfg.Address, err)
	}
	s.position(ctx, c, &st)
	return st, nil
}

// Reading where the binary log ends waits for commits that wait for their
// acknowledgement.
const (
	positionTimeout = 200 * time.Millisecond
	positionPause   = 5 * time.Second // after one that hung: its connection hangs on in the server
)

// position adds the file and position of the binary log, unless it cannot be
// read now: a server whose commits wait for an acknowledgement is alive. GTIDs,
// which are what is compared, are known without it.
func (s *Server) position(ctx context.Context, c *session, st *State) {
	if hung := s.posHung.Load(); st.SemiSync.WaitSessions > 0 || hung != nil && time.Since(*hung) < positionPause {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, positionTimeout)
	defer cancel()
	file, position, err := c.binlogPosition(ctx)
	switch {
	case err == nil:
		st.BinlogFile, st.BinlogPosition = file, position
	case ctx.Err() != nil:
		now := time.Now()
		s.posHung.Store(&now)
	}
}

func (c *session) state(ctx context.Context) (State, error) {
	var st State
	v, err := c.settings(ctx, "read variables", variablesQuery)
	if err != nil {
		return st, err
	}
	st.Reachable = true
	st.Version = v["version"]
	if st.Parsed, err = ParseVersion(st.Version); err != nil {
		return st, err
	}
	st.Flavor = st.Parsed.Flavor
	if err := st.Parsed.Supported(); err != nil {
		return st, err
	}
	st.fill(v)
	status, err := c.settings(ctx, "read status", statusQuery)
	if err != nil {
		return st, err
	}
	st.Connections, st.Uptime = status.uint("Threads_connected"), status.uint("Uptime")
	st.SemiSync.SourceActive = status.on("Rpl_semi_sync_master_status")
	st.SemiSync.Clients = status.uint("Rpl_semi_sync_master_clients")
	st.SemiSync.WaitSessions = status.uint("Rpl_semi_sync_master_wait_sessions")
	st.SemiSync.Acknowledged = status.uint("Rpl_semi_sync_master_yes_tx")
	st.SemiSync.ReplicaActive = status.on("Rpl_semi_sync_slave_status")

	st.Replication, st.NamedConnections, err = c.replication(ctx)
	return st, err
}

func (st *State) fill(v record) {
	st.ServerID, st.GTIDDomain = uint32(v.uint("server_id")), uint32(v.uint("gtid_domain_id"))
	st.Identity = strconv.FormatUint(uint64(st.ServerID), 10)
	st.ServerUID, st.DataDir = v["server_uid"], v["datadir"]
	st.ReadOnly, st.LogBin, st.LogSlaveUpdates = v.on("read_only"), v.on("log_bin"), v.on("log_slave_updates")
	st.SyncBinlog = v.uint("sync_binlog")
	st.GTIDStrict, st.EventScheduler = v.on("gtid_strict_mode"), v["event_scheduler"]
	st.GTIDBinlogPos, st.GTIDBinlogState = v["gtid_binlog_pos"], v["gtid_binlog_state"]
	st.GTIDSlavePos, st.GTIDCurrentPos = v["gtid_slave_pos"], v["gtid_current_pos"]
	st.SemiSync = SemiSync{
		SourceEnabled:  v.on("rpl_semi_sync_master_enabled"),
		WaitPoint:      v["rpl_semi_sync_master_wait_point"],
		TimeoutMS:      v.uint("rpl_semi_sync_master_timeout"),
		WaitNoReplica:  v.on("rpl_semi_sync_master_wait_no_slave"),
		ReplicaEnabled: v.on("rpl_semi_sync_slave_enabled"),
	}
}

// settings reads an answer of SHOW VARIABLES or SHOW STATUS as one record.
func (c *session) settings(ctx context.Context, what, query string) (record, error) {
	list, err := c.query(ctx, what, query)
	if err != nil {
		return nil, err
	}
	all := make(record, len(list))
	for _, r := range list {
		all[r["Variable_name"]] = r["Value"]
	}
	return all, nil
}

// readOnly asks a session's server whether it is read-only.
func (c *session) readOnly(ctx context.Context) (bool, error) {
	v, err := c.value(ctx, "read read_only", "SELECT @@global.read_only")
	return v == "1", err
}
