package mysql

import (
	"strings"
	"testing"
)

// TestRotate: the file that a replica's position is looked for in is short when clients
// wait for the replica, and nothing of that is replicated.
func TestRotate(t *testing.T) {
	a, b, _ := servers(t)
	s := b.server(t)
	file := func() string {
		t.Helper()
		return must[Binlog](t)(s.Binlog(t.Context(), RoleMaster)).File
	}
	first := file()
	if err := s.Rotate(t.Context(), rotateNow); err != nil || file() != first {
		t.Errorf("a short file: %v, it is %s after %s", err, file(), first)
	}
	a.exec(t, "CREATE TABLE app.big(v LONGTEXT)")
	a.exec(t, "INSERT INTO app.big VALUES ('"+strings.Repeat("x", RotateAhead)+"')")
	caughtUp(t, a, b)
	before := b.value(t, "SELECT @@gtid_binlog_pos")
	if err := s.Rotate(t.Context(), RotateAhead); err != nil || file() == first {
		t.Errorf("a long file: %v, it is %s after %s", err, file(), first)
	}
	second := file()
	if err := s.Rotate(t.Context(), RotateAhead); err != nil || file() != second {
		t.Errorf("the new file: %v, it is %s after %s", err, file(), second)
	}
	if after := b.value(t, "SELECT @@gtid_binlog_pos"); after != before {
		t.Errorf("%s was %s before", after, before)
	}
	// One that is promoted with a file that is very long begins another.
	a.exec(t, "SET GLOBAL max_allowed_packet=64<<20")
	b.exec(t, "SET GLOBAL max_allowed_packet=64<<20")
	for range 10 {
		a.exec(t, "INSERT INTO app.big SELECT REPEAT('y', 1<<20)")
	}
	caughtUp(t, a, b)
	must[Promoted](t)(s.Promote(t.Context(), free{}))
	if file() == second {
		t.Error("it was promoted with a long file")
	}
}
