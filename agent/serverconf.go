package agent

import (
	"fmt"

	"github.com/zerokeeper/zero/transport/durable"
)

// Contents of the file that the server reads when it is started. As a replica it
// takes back what it prepared as a primary and nobody acknowledged (semi-sync
// truncation), so that it can follow the new primary. A primary that is started again
// as primary must not: its replicas may have it.
const (
	confHead    = "# Written by zeroagent. Do not edit.\n[mariadb]\n"
	confReplica = confHead + "init_rpl_role = SLAVE\n"
	confPrimary = confHead
)

// lost reports whether the role of the primary is lost for good. A switch that has not
// committed may be rolled back, a failover as well as a planned one: this server is the
// primary again then, and one that was started meanwhile must have kept what it had. MariaDB
// takes back not only what nobody acknowledged, but all that its engine had not yet
// made durable by itself: what was acknowledged in the last second too.
//
// Nor has a candidate lost it that is prepared for a switch whose commit it did not hear of:
// its promotion deletes the relay log, and nobody could give it again what it takes back then.
// What a replica has comes from others, so it may as well keep it.
func (m memory) lost() bool {
	candidate := m.Prepared != 0 && m.Prepared == m.Stamp.Generation && m.Committed != m.Stamp.Generation
	return m.Role == roleNotPrimary && m.Lent == 0 && !candidate
}

// serverConf is the file that this process wrote. The turn is held.
type serverConf struct{ wrote, lost bool }

// write makes the file say what the role asks for, unless this process has seen to
// that already: a fence that may be undone leaves it as it is, and clients wait.
func (c *serverConf) write(path string, lost bool) error {
	if c.wrote && c.lost == lost {
		return nil
	}
	c.wrote = false
	if err := writeServerConf(path, lost); err != nil {
		return err
	}
	c.wrote, c.lost = true, lost
	return nil
}

// writeServerConf makes the file say what the role asks for, before the role is
// remembered. A role that is not known is treated as the primary's.
func writeServerConf(path string, lost bool) error {
	if path == "" {
		return nil
	}
	text := confPrimary
	if lost {
		text = confReplica
	}
	if err := durable.Write(path, []byte(text), 0o644); err != nil { // the server's user reads it
		return fmt.Errorf("what the server reads when it is started: %w", err)
	}
	return nil
}
