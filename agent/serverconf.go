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

// writeServerConf makes the file say what the role asks for, before the role is
// remembered. A role that is not known is treated as the primary's.
func writeServerConf(path, role string) error {
	if path == "" {
		return nil
	}
	text := confPrimary
	if role == roleNotPrimary {
		text = confReplica
	}
	if err := durable.Write(path, []byte(text), 0o644); err != nil { // the server's user reads it
		return fmt.Errorf("what the server reads when it is started: %w", err)
	}
	return nil
}
