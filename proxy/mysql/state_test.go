package mysql

import (
	"slices"
	"strings"
	"testing"
)

func TestStateReplay(t *testing.T) {
	s := sessionState{limit: 1000, db: "shop"}
	for _, e := range []effect{
		{effSet, "@a", "SET @a=1"},
		{effSet, "sql_mode", "SET SESSION sql_mode=''"},
		{effSet, "@a", "SET @a=2"},
		{effOneShot, "", "SET TRANSACTION READ ONLY"},
		{effPrepare, "p", "PREPARE p FROM 'x'"},
		{effPrepare, "q", "PREPARE q FROM 'x'"},
		{effDeallocate, "p", ""},
		{effLastInsertID, "", "77"},
		{effUse, "other", ""},
	} {
		s.apply(e)
	}
	want := []string{"SET SESSION sql_mode=''", "SET @a=2", "PREPARE q FROM 'x'", "SET last_insert_id=77", "SET TRANSACTION READ ONLY"}
	if got := s.replay(); !slices.Equal(got, want) {
		t.Errorf("replay\n got %q\nwant %q", got, want)
	}
	if s.db != "other" || s.unmovable() != "" {
		t.Errorf("database %q, unmovable %q", s.db, s.unmovable())
	}
	s.apply(effect{effDropDatabase, "OTHER", ""})
	s.reset()
	if s.db != "" || len(s.replay()) != 0 || s.bytes != 0 || s.limit != 1000 {
		t.Errorf("after reset: %+v", s)
	}
}

func TestStateReasons(t *testing.T) {
	tests := []struct {
		name string
		do   []effect
		want string // part of the reason; "" for none
	}{
		{"nothing", nil, ""},
		{"temporary table", []effect{{effTempTable, ".t", ""}}, "temporary"},
		{"temporary table dropped by its full name", []effect{{effTempTable, ".t", ""}, {effDropTable, "shop.t", ""}}, ""},
		{"another table dropped", []effect{{effTempTable, ".t", ""}, {effDropTable, "other.t", ""}}, "temporary"},
		{"lock taken twice", []effect{{effUserLock, "l", ""}, {effUserLock, "l", ""}, {effUserUnlock, "l", ""}}, "GET_LOCK"},
		{"lock released", []effect{{effUserLock, "l", ""}, {effUserUnlock, "l", ""}}, ""},
		{"a lock that is not held is released", []effect{{effUserUnlock, "l", ""}}, ""},
		{"all released", []effect{{effUserLock, "", ""}, {effUserUnlockAll, "", ""}}, ""},
		{"tables locked", []effect{{effTableLocks, "", ""}}, "locked tables"},
		{"read lock", []effect{{effGlobalLock, "", ""}}, "locked tables"},
		{"unlocked", []effect{{effTableLocks, "", ""}, {effGlobalLock, "", ""}, {effTableUnlock, "", ""}}, ""},
		{"pinned", []effect{{effPin, "", "why not"}}, "why not"},
		{"too much", []effect{{effSet, "k", strings.Repeat("x", 2000)}}, "more session state"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sessionState{limit: 1000, db: "shop"}
			for _, e := range tt.do {
				s.apply(e)
			}
			got := s.unmovable()
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("unmovable: %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLiteral(t *testing.T) {
	tests := []struct {
		name string
		kind byte
		row  []string // value, hex, charset, collation; no value is NULL
		want string   // "" for an error
	}{
		{"null", typeLongLong, nil, "NULL"},
		{"integer", typeLongLong, []string{"-5", "", "binary", "binary"}, "-5"},
		{"decimal", typeNewDecimal, []string{"1.50", "", "binary", "binary"}, "1.50"},
		{"double", typeDouble, []string{"0.1", "", "binary", "binary"}, "0.1e0"},
		{"double with an exponent", typeDouble, []string{"1e300", "", "binary", "binary"}, "1e300"},
		{"string", 0xfd, []string{"x", "78", "utf8mb4", "utf8mb4_bin"}, "_utf8mb4 X'78' COLLATE utf8mb4_bin"},
		{"bytes", 0xfb, []string{"x", "78", "binary", "binary"}, "X'78'"},
		{"a number that is none", typeLongLong, []string{"1; DROP TABLE t", "", "binary", "binary"}, ""},
		{"a character set that is none", 0xfd, []string{"x", "78", "x'; DROP", "y"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			row := make([][]byte, 4)
			for i, v := range tt.row {
				row[i] = []byte(v)
			}
			got, err := literal(tt.kind, row)
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
