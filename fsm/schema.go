package fsm

import (
	"fmt"

	"github.com/hashicorp/go-memdb"
)

// Names of the tables.
const (
	tableMeta     = "meta"
	tableMembers  = "members"
	tableProxies  = "proxies"
	tableAgents   = "agents"
	tableConfigs  = "configs"
	tableGroups   = "hostgroups"
	tableSwitches = "switches"
	tableVotes    = "votes"
	tableSections = "sections"
	tableSessions = "sessions"
)

// table is one table: its number in snapshots (append-only), its name, a new
// empty row, and the key of a row.
type table struct {
	number uint8
	name   string
	row    func() any
	key    func(row any) []byte
}

// tables in the order of their numbers.
var tables = []table{
	{1, tableMeta, func() any { return new(meta) }, func(any) []byte { return []byte{0} }},
	{2, tableMembers, func() any { return new(Member) }, func(r any) []byte { return key(r.(*Member).ID) }},
	{3, tableProxies, func() any { return new(Proxy) }, func(r any) []byte { return key(r.(*Proxy).Cluster, r.(*Proxy).ID) }},
	{4, tableAgents, func() any { return new(Agent) }, func(r any) []byte { return key(r.(*Agent).Address) }},
	{5, tableConfigs, func() any { return new(Config) }, func(r any) []byte { return append(key(r.(*Config).Cluster), number(r.(*Config).Number)...) }},
	{6, tableGroups, func() any { return new(HostGroup) }, func(r any) []byte { return key(r.(*HostGroup).Name) }},
	{7, tableSwitches, func() any { return new(Switch) }, func(r any) []byte { return key(r.(*Switch).ID) }},
	{8, tableVotes, func() any { return new(Vote) }, func(r any) []byte { return key(r.(*Vote).Switch, r.(*Vote).Proxy) }},
	{9, tableSections, func() any { return new(Section) }, func(r any) []byte { return key(r.(*Section).ID, r.(*Section).Section) }},
	{10, tableSessions, func() any { return new(Session) }, func(r any) []byte { return key(r.(*Session).ID) }},
}

// key joins parts so that no two lists of parts give the same bytes and the
// order of keys is the order of parts: 00 becomes 00 FF, each part ends with
// 00 01. Parts may hold any bytes, and may be empty.
func key(parts ...string) []byte {
	size := 0
	for _, p := range parts {
		size += len(p) + 2
	}
	k := make([]byte, 0, size)
	for _, p := range parts {
		for i := range len(p) {
			k = append(k, p[i])
			if p[i] == 0 {
				k = append(k, 0xff)
			}
		}
		k = append(k, 0, 1)
	}
	return k
}

// number is a key part that sorts as the number does.
func number(n uint64) []byte {
	k := make([]byte, 8)
	for i := range k {
		k[i] = byte(n >> (56 - 8*i))
	}
	return k
}

// indexer gives memdb the key of a row; queries pass the finished key.
type indexer struct{ key func(row any) []byte }

var _ memdb.SingleIndexer = indexer{}
var _ memdb.PrefixIndexer = indexer{}

// FromObject is the key of a row.
func (x indexer) FromObject(row any) (bool, []byte, error) { return true, x.key(row), nil }

// FromArgs passes a finished key on.
func (x indexer) FromArgs(args ...any) ([]byte, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("fsm: %d arguments for an index, want 1", len(args))
	}
	k, ok := args[0].([]byte)
	if !ok {
		return nil, fmt.Errorf("fsm: a key of type %T", args[0])
	}
	return k, nil
}

// PrefixFromArgs passes a finished prefix on.
func (x indexer) PrefixFromArgs(args ...any) ([]byte, error) { return x.FromArgs(args...) }

// newDB is an empty database. The schema is fixed, so an error is one of the
// program.
func newDB() *memdb.MemDB {
	schema := &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{}}
	for _, t := range tables {
		schema.Tables[t.name] = &memdb.TableSchema{
			Name:    t.name,
			Indexes: map[string]*memdb.IndexSchema{"id": {Name: "id", Unique: true, Indexer: indexer{t.key}}},
		}
	}
	db, err := memdb.NewMemDB(schema)
	if err != nil {
		panic(fmt.Sprintf("fsm: schema: %v", err))
	}
	return db
}
