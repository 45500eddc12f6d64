package fsm

import (
	"fmt"

	"github.com/hashicorp/go-memdb"
)

// txn is one command at work. A failure of the database itself is an error of
// the program (a row of a wrong type); it is kept in err and halts the node.
type txn struct {
	*memdb.Txn
	db     *memdb.MemDB
	header Header
	index  uint64
	term   uint64 // of the entry
	err    error
}

// put writes a row.
func (t *txn) put(table string, row any) {
	if err := t.Insert(table, row); err != nil && t.err == nil {
		t.err = fmt.Errorf("write %s: %w", table, err)
	}
}

// drop removes a row.
func (t *txn) drop(table string, row any) {
	if err := t.Delete(table, row); err != nil && t.err == nil {
		t.err = fmt.Errorf("delete from %s: %w", table, err)
	}
}

// meta is a copy of the meta row.
func (t *txn) meta() meta {
	if m := first[meta](t.Txn, tableMeta, []byte{0}); m != nil {
		return *m
	}
	return meta{}
}

// first is the row with that key, nil when there is none. Rows are shared:
// copy before you change one.
func first[T any](tx *memdb.Txn, table string, k []byte) *T {
	row, err := tx.First(table, "id", k)
	if err != nil {
		panic(fmt.Sprintf("fsm: read %s: %v", table, err)) // the schema is fixed: an error of the program
	}
	if row == nil {
		return nil
	}
	return row.(*T)
}

// each calls f for the rows whose key has that prefix, in order, until it
// returns false.
func each[T any](tx *memdb.Txn, table string, prefix []byte, f func(*T) bool) {
	rows, err := tx.Get(table, "id_prefix", prefix)
	if err != nil {
		panic(fmt.Sprintf("fsm: read %s: %v", table, err))
	}
	for row := rows.Next(); row != nil; row = rows.Next() {
		if !f(row.(*T)) {
			return
		}
	}
}

// all is the rows whose key has that prefix, in order.
func all[T any](tx *memdb.Txn, table string, prefix []byte) []*T {
	var rows []*T
	each(tx, table, prefix, func(row *T) bool {
		rows = append(rows, row)
		return true
	})
	return rows
}
