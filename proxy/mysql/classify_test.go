package mysql

import (
	"fmt"
	"strings"
	"testing"
)

func (k effectKind) String() string {
	return [...]string{"set", "capture", "once", "use", "dropdb", "temp", "droptable", "lock", "unlock", "unlockall",
		"tables", "global", "untables", "prepare", "deallocate", "pin", "insertid"}[k]
}

func (c class) String() string {
	return [...]string{"session", "read", "begin", "dml", "write"}[c]
}

// describe writes effects as "kind key=text; ...", statements apart by "|".
func describe(a *analysis) string {
	parts := make([]string, 0, len(a.effects))
	for _, effects := range a.effects {
		var list []string
		for _, e := range effects {
			s := e.kind.String()
			if e.key != "" {
				s += " " + e.key
			}
			if e.text != "" && e.kind != effPin {
				s += " = " + e.text
			}
			list = append(list, s)
		}
		parts = append(parts, strings.Join(list, "; "))
	}
	return strings.Join(parts, " | ")
}

func TestClassify(t *testing.T) {
	tests := []struct {
		sql     string
		class   class
		effects string
	}{
		// reads
		{"select 1", classRead, ""},
		{"SELECT * FROM t WHERE a=1", classRead, ""},
		{" \t\n select 1 ; ", classRead, ""},
		{"-- c\nselect 1", classRead, ""},
		{"--1\nselect 1", classWrite, ""}, // not a comment: minus minus one
		{"# c\nselect 1", classRead, ""},
		{"/* c */ select /*+ MAX_EXECUTION_TIME(5) */ 1", classRead, ""},
		{"/*comment; delete from t*/select ';' , \"a;b\", `c;d`, 'it''s', 'a\\';b'", classRead, ""},
		{"(select 1) union (select 2)", classRead, ""},
		{"((select 1))", classRead, ""},
		{"select count(*), max(a), concat('x', now()), cast(a as char(10)), convert(b, decimal(10,2)) from t", classRead, ""},
		{"select * from t where a in (1,2) and (b=1 or c=2) and exists (select 1)", classRead, ""},
		{"select a from t use index (i) join u using (id) group by (a) having (a>1) order by (a) limit 1", classRead, ""},
		{"select row_number() over (partition by a order by b) from t", classRead, ""},
		{"select * from t for system_time as of timestamp '2020-01-01'", classRead, ""},
		{"select substring('abc' from 1 for 2)", classRead, ""},
		{"select * from t force index for join (i)", classRead, ""},
		{"with a as (select 1) select * from a", classRead, ""},
		{"with recursive a (n) as (select 1 union all select n+1 from a) select * from a", classRead, ""},
		{"values (1),(2)", classRead, ""},
		{"table t", classRead, ""},
		{"show tables", classRead, ""},
		{"desc t", classRead, ""},
		{"explain update t set a=1", classRead, ""},
		{"explain format=json select 1", classRead, ""},
		{"explain analyze select 1", classRead, ""},
		{"analyze format=json select 1", classRead, ""},
		{"help 'x'", classRead, ""},
		{"checksum table t", classRead, ""},
		{"do sleep(1)", classRead, ""},
		{"select known_pure(1)", classRead, ""},
		{"xa recover", classRead, ""},
		{"savepoint a", classRead, ""},
		{"select @a, @@sql_mode", classRead, ""},
		{"select last_insert_id()", classRead, ""},

		// reads that are more than that
		{"select * from t for update", classWrite, ""},
		{"select * from t where a=1 for share", classWrite, ""},
		{"select * from t lock in share mode", classWrite, ""},
		{"select 1 /*!99999 for update */", classWrite, ""},
		{"select 1 into outfile '/tmp/x'", classWrite, ""},
		{"select 1 into dumpfile '/tmp/x'", classWrite, ""},
		{"select 1, 2 into @a, @`B c`", classWrite, "capture @a; capture @b c"},
		{"select get_lock('l', 1)", classWrite, "lock l"},
		{"select get_lock(concat('l'), 1)", classWrite, "lock"},
		{"select release_lock('L')", classRead, "unlock l"},
		{"do release_all_locks()", classRead, "unlockall"},
		{"select nextval(s)", classWrite, ""},
		{"select next value for s", classWrite, ""},
		{"select s.nextval", classWrite, ""},
		{"select setval(s, 5)", classWrite, ""},
		{"select my_func(1)", classWrite, ""},
		{"select my_func (1)", classWrite, ""},
		{"select `my_func`(1)", classWrite, ""},
		{"select db.now(1)", classWrite, ""},
		{"select @a := 1, @B:=@a", classRead, "capture @a; capture @b"},
		{"do my_func(1)", classWrite, ""},
		{"explain analyze update t set a=1", classDML, ""},
		{"analyze update t set a=1", classDML, ""},
		{"analyze table t", classWrite, ""},
		{"with a as (select 1) update t set a=1", classDML, ""},
		{"with a as (select 1) delete from t", classDML, ""},
		{"with a as (select my_func()) select 1", classWrite, ""},
		{"/*!99999 select */ delete from t", classWrite, ""},
		{"/*M!100000 select 1 */", classRead, ""},
		{"select 'abc", classWrite, ""},
		{"select /* abc", classWrite, ""},
		{"select /*! 1", classWrite, ""},
		{"select `a", classWrite, ""},

		// transactions
		{"begin", classBegin, ""},
		{"BEGIN WORK", classBegin, ""},
		{"start transaction with consistent snapshot", classBegin, ""},
		{"start slave", classWrite, ""},
		{"begin not atomic insert into t values (1); end", classWrite, ""},
		{"commit", classSession, ""},
		{"rollback to savepoint a", classSession, ""},
		{"commit and chain", classBegin, ""},
		{"commit and no chain release", classSession, ""},
		{"xa start 'a'", classWrite, ""},
		{"xa end 'a'", classWrite, ""},
		{"xa commit 'a'", classWrite, ""},

		// writes
		{"insert into t (a) values (1)", classDML, ""},
		{"insert into t select f(1)", classDML, ""},
		{"replace into t values (1)", classDML, ""},
		{"update t set a = a + 1", classDML, ""},
		{"update t set a = (@v := a)", classDML, "capture @v"},
		{"delete from t", classDML, ""},
		{"load data local infile 'x' into table t", classDML, ""},
		{"call p(1, @out)", classWrite, "capture @out"},
		{"execute s", classWrite, ""},
		{"create table t (a int)", classWrite, ""},
		{"create temporary table if not exists T (a int)", classWrite, "temp .t"},
		{"create or replace temporary table d.`t` as select 1", classWrite, "temp d.t"},
		{"drop temporary table if exists a, d.b", classWrite, "droptable .a; droptable d.b"},
		{"drop table a", classWrite, "droptable .a"},
		{"drop database if exists D", classWrite, "dropdb D"},
		{"create procedure p() begin set names latin1; insert into t values (1); end", classWrite, ""},
		{"create definer=`a`@`b` trigger x before insert on t for each row begin set @a = 1; end", classWrite, ""},
		{"alter event e do begin set @a = 1; end", classWrite, ""},
		{"alter table t add (b int)", classWrite, ""},
		{"lock tables t write", classWrite, "tables"},
		{"unlock tables", classSession, "untables"},
		{"flush tables with read lock", classWrite, "global"},
		{"flush logs", classWrite, ""},
		{"handler t open", classWrite, "pin"},
		{"truncate t", classWrite, ""},
		{"frobnicate the thing", classWrite, ""},
		{"l: loop set @a = 1; end loop", classWrite, ""},
		{"", classSession, ""},
		{";;", classSession, ""},
		{"/* nothing */", classSession, ""},
		{"-1", classWrite, ""},

		// session
		{"use shop", classSession, "use shop"},
		{"use `my``db`", classSession, "use my`db"},
		{"/*!40101 use shop */", classSession, "use shop"},
		{"kill 5", classSession, ""},
		{"prepare s from 'select 1'", classSession, "prepare s = PREPARE `s` FROM 'select 1'"},
		{"prepare s from @x", classSession, "pin"},
		{"deallocate prepare S", classSession, "deallocate s"},
		{"drop prepare S", classSession, "deallocate s"},
		{"get diagnostics @a = number", classSession, "capture @a"},

		// SET
		{"set names utf8mb4", classSession, "set names = SET NAMES utf8mb4"},
		{"set names 'utf8' collate utf8_bin, @a=1", classSession, "set names = SET NAMES 'utf8' collate utf8_bin; set @a = SET @`a`=1"},
		{"/*!40101 set names utf8 */", classSession, "capture character_set_client; capture character_set_results; capture collation_connection"},
		{"set character set latin1", classSession, "set charset = SET CHARACTER SET latin1"},
		{"set autocommit=0", classSession, ""},
		{"set @@session.autocommit := 1", classSession, ""},
		{"set sql_mode=''", classSession, "set sql_mode = SET SESSION `sql_mode`=''"},
		{"SET SESSION Sql_Mode = 'ANSI', wait_timeout=-5", classSession, "set sql_mode = SET SESSION `sql_mode`='ANSI'; set wait_timeout = SET SESSION `wait_timeout`=-5"},
		{"set @@local.time_zone = '+00:00'", classSession, "set time_zone = SET SESSION `time_zone`='+00:00'"},
		{"set @OLD_SQL_MODE=@@SQL_MODE, sql_mode='x'", classSession, "capture @old_sql_mode; set sql_mode = SET SESSION `sql_mode`='x'"},
		{"set sql_mode=concat(@@sql_mode, ',ANSI')", classSession, "capture sql_mode"},
		{"set foreign_key_checks = default", classSession, "set foreign_key_checks = SET SESSION `foreign_key_checks`=default"},
		{"set @a = 'x', @`b c` := 0x10, @d = null", classSession, "set @a = SET @`a`='x'; set @b c = SET @`b c`=0x10; set @d = SET @`d`=null"},
		{"set @a = 'l\\'x'", classSession, "capture @a"},
		{"set @a = \"x\"", classSession, "capture @a"},
		{"set @a = 'ü'", classSession, "capture @a"},
		{"set @a = x'41'", classSession, "capture @a"},
		{"set @a = ?", classSession, "capture @a"},
		{"set @a = 1 + 2", classSession, "capture @a"},
		{"set @a = (select max(a) from t), @b = 2", classRead, "capture @a; set @b = SET @`b`=2"},
		{"set @a = my_func()", classWrite, "capture @a"},
		{"set @a = get_lock('x', 1), @b=2", classWrite, "lock x; capture @a; set @b = SET @`b`=2"},
		{"set timestamp = current_timestamp", classSession, "capture timestamp"},
		{"set last_insert_id = 7", classSession, "insertid = 7"},
		{"set insert_id = 7", classSession, ""},
		{"set global max_connections = 5", classWrite, ""},
		{"set global a = 5, b = 6", classWrite, ""},
		{"set @@global.a = 5, b = 6", classWrite, "set b = SET SESSION `b`=6"},
		{"set session transaction isolation level read committed", classSession, "set transaction isolation = SET SESSION TRANSACTION isolation level read committed"},
		{"set session transaction isolation level serializable, read only", classSession, "set transaction isolation access = SET SESSION TRANSACTION isolation level serializable, read only"},
		{"set transaction isolation level serializable", classSession, "once = SET transaction isolation level serializable"},
		{"set global transaction read only", classWrite, ""},
		{"set role r", classSession, "set role = SET ROLE r"},
		{"set password = 'x'", classWrite, ""},
		{"set default role r for u", classWrite, ""},
		{"set statement max_statement_time=1 for select 1", classRead, ""},
		{"set statement max_statement_time=1 for delete from t", classDML, ""},
		{"/*!40103 set time_zone='+00:00' */", classSession, "capture time_zone"},
		{"set x", classWrite, ""},
		{"set a.b = 5", classWrite, ""},

		// several
		{"select 1; select 2", classRead, ""},
		{"select 1; delete from t", classDML, ""},
		{"set names utf8; use db; select 1", classRead, "set names = SET NAMES utf8 | use db | "},
		{"select 1; set @a=1", classRead, " | set @a = SET @`a`=1"},
		{"set autocommit=0; select 1", classWrite, ""},
		{"begin; select 1; commit", classBegin, ""},
	}
	pure := map[string]bool{"KNOWN_PURE": true}
	for _, tt := range tests {
		t.Run(tt.sql, func(t *testing.T) {
			a := classify([]byte(tt.sql), false, false, pure)
			if a.class != tt.class {
				t.Errorf("class %v, want %v", a.class, tt.class)
			}
			if got := describe(a); got != tt.effects {
				t.Errorf("effects\n got %s\nwant %s", got, tt.effects)
			}
		})
	}
}

func TestClassifyFacts(t *testing.T) {
	tests := []struct {
		sql               string
		ticket, ticketOff bool // needs a ticket with autocommit on, off
		repeatable        bool
		settled           bool
	}{
		{"select 1", false, true, true, true},
		{"set @a=1", false, false, true, true},
		{"set @a=(select 1)", false, true, true, true},
		{"use db", false, false, true, true},
		{"commit", false, false, true, true},
		{"begin", true, true, true, false},
		{"insert into t values (1)", true, true, false, true},
		{"insert into t values (1); insert into t values (2)", true, true, false, false},
		{"begin; insert into t values (1)", true, true, false, false},
		{"call p()", true, true, false, false},
		{"select * from t for update", true, true, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.sql, func(t *testing.T) {
			a := classify([]byte(tt.sql), false, false, nil)
			if got := [4]bool{a.needsTicket(true), a.needsTicket(false), a.repeatable(), a.settled()}; got != [4]bool{tt.ticket, tt.ticketOff, tt.repeatable, tt.settled} {
				t.Errorf("ticket, ticket with autocommit off, repeatable, settled = %v", got)
			}
		})
	}
}

func TestClassifyBackslash(t *testing.T) {
	sql := []byte(`select 'a\'; delete from t where 'b' = 'b'`)
	if got := classify(sql, true, false, nil).class; got != classDML {
		t.Errorf("with NO_BACKSLASH_ESCAPES the string ends at the second quote: class %v, want dml", got)
	}
	if got := classify([]byte(`select 'a\' ; delete from t'`), false, false, nil).class; got != classRead {
		t.Errorf("without it the string goes on: class %v, want read", got)
	}
}

func TestClassifyTruncated(t *testing.T) {
	if got := classify([]byte("select 1"), false, true, nil).class; got != classWrite {
		t.Errorf("a text whose end is not seen is %v, want write", got)
	}
}

func TestKill(t *testing.T) {
	tests := []struct {
		sql  string
		want string
	}{
		{"kill 123", "123 false"},
		{"KILL QUERY 123", "123 true"},
		{"kill /*!50000 query */ 4294967295", "4294967295 true"},
		{"kill hard connection 7;", "7 false"},
		{"kill soft query 7", "7 true"},
		{"kill query id 7", ""},
		{"kill user 'x'", ""},
		{"kill 99999999999", ""},
		{"kill 1; kill 2", ""},
		{"kill 1 + 1", "1 false"},
		{"select 1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.sql, func(t *testing.T) {
			got := ""
			if k := classify([]byte(tt.sql), false, false, nil).kill; k != nil {
				got = fmt.Sprintf("%d %v", k.id, k.query)
				if s := tt.sql[k.start:k.end]; s != fmt.Sprint(k.id) {
					t.Errorf("the number is said to be at %q", s)
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range []string{"select 1", "set @a:='x', b=2; use `c`", "/*! select */ delete", "kill query 5",
		"with a as (select f(1)) select @a := 1 into @b", "create temporary table a.b (c int)", "'\\", "/*M!1", "@@", "@`",
		"call p(@a); prepare s from 'x'", "set session transaction read only, isolation level x"} {
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, noBackslash bool) {
		a := classify(text, noBackslash, false, nil)
		if a.effects != nil && len(a.effects) > a.count {
			t.Errorf("effects of %d statements, %d counted", len(a.effects), a.count)
		}
		if k := a.kill; k != nil && (k.start < 0 || k.end > len(text) || k.start >= k.end) {
			t.Errorf("kill id at %d..%d of %d", k.start, k.end, len(text))
		}
		if len(text) > 0 && a.class == classRead {
			// A write appended to a read makes a write, unless the read's last token was left open.
			more := append(append([]byte{}, text...), "\n;delete from t"...)
			if got := classify(more, noBackslash, false, nil); got.class < classDML {
				t.Errorf("%q is %v", more, got.class)
			}
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	text := []byte("SELECT c, k FROM sbtest1 WHERE id BETWEEN 4711 AND 4811 AND pad LIKE '%abc%' ORDER BY c LIMIT 10")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		classify(text, false, false, nil)
	}
}
