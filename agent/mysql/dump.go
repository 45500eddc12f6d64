package mysql

import (
	"context"
	"strconv"
)

// zombieSeconds is the age from which a dump thread of a server that is being
// promoted is taken for one of an earlier reign: replicas that were just pointed at
// it must not be sent away.
const zombieSeconds = 3

// killDumps kills the server's dump threads that are that many seconds old or older, and says
// how many there were. After a server was cut off, those of replicas that are long gone are
// still there, and a replica that connects anew has to wait for them. One whose replica
// is alive costs it a reconnect, at once.
//
// Sessions that wait for an acknowledgement go on waiting, also without the last
// dump thread (rpl_semi_sync_master_wait_no_slave=1, R22).
func (c *session) killDumps(ctx context.Context, age int) (int, error) {
	list, err := c.query(ctx, "list dump threads", "SELECT ID, USER, HOST FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%' AND TIME >= "+strconv.Itoa(age))
	if err != nil {
		return 0, err
	}
	dumps := make([]Killed, len(list))
	for i, r := range list {
		dumps[i] = Killed{ID: r.uint("ID"), User: r["USER"], Host: r["HOST"]}
	}
	return len(dumps), c.kill(ctx, dumps)
}

// endDumps is killDumps for operations that go on without it: their own work counts
// for more than what a replica waits for.
func (s *Server) endDumps(ctx context.Context, c *session, age int) {
	n, err := c.killDumps(ctx, age)
	switch {
	case err != nil:
		s.log.Warn("old dump threads are left", "error", err)
	case n > 0:
		s.log.Info("killed the dump threads of an earlier reign", "threads", n)
	}
}
