package fleet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ReplicationTimeout bounds Replicate, and each wait of WaitCaughtUp whose context has no earlier end.
const ReplicationTimeout = 30 * time.Second

// Account is a MariaDB account for '%'.
type Account struct{ User, Password string }

// Replicate makes primary writable and the others its semi-synchronous replicas with plain SQL, as an operator's
// provisioning does before zero takes over. It makes the account on each that lacks it. It returns when every replica has
// everything and acknowledges. The servers must be fresh: their GTID state must be empty.
func (f *Fleet) Replicate(ctx context.Context, primary *Maria, account Account, replicas ...*Maria) error {
	ctx, cancel := context.WithTimeout(ctx, ReplicationTimeout)
	defer cancel()
	// Each server has the account, for each may be promoted, and made it without a binary log: the GTID state stays empty.
	for _, m := range append([]*Maria{primary}, replicas...) {
		user := quote(account.User) + "@'%'"
		err := m.Exec(ctx, "SET SESSION sql_log_bin=0",
			fmt.Sprintf("CREATE USER IF NOT EXISTS %s IDENTIFIED BY %s", user, quote(account.Password)),
			"GRANT REPLICATION SLAVE ON *.* TO "+user)
		if err != nil {
			return fmt.Errorf("replicate: %w", err)
		}
	}
	if err := primary.Exec(ctx, "SET GLOBAL read_only=0"); err != nil {
		return fmt.Errorf("replicate: %w", err)
	}
	if len(replicas) == 0 {
		return nil
	}
	if err := primary.Exec(ctx, "SET GLOBAL rpl_semi_sync_slave_enabled=0", "SET GLOBAL rpl_semi_sync_master_enabled=1"); err != nil {
		return fmt.Errorf("replicate: %w", err)
	}
	err := each(ctx, len(replicas), func(ctx context.Context, i int) error {
		if err := replicas[i].Follow(ctx, primary, account); err != nil {
			return err
		}
		return replicas[i].WaitCaughtUp(ctx, primary)
	})
	if err != nil {
		return fmt.Errorf("replicate: %w", err)
	}
	err = Eventually(ctx, readyInterval, func(ctx context.Context) error {
		row, err := primary.Row(ctx, "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_clients'")
		if err != nil {
			return err
		}
		if want := strconv.Itoa(len(replicas)); row["Value"] != want {
			return fmt.Errorf("%s of %s replicas acknowledge", row["Value"], want)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("replicate: %w", err)
	}
	return nil
}

// Follow points m at primary, from its own GTID position, and starts its replication, semi-synchronously. It waits for
// nothing.
func (m *Maria) Follow(ctx context.Context, primary *Maria, account Account) error {
	return m.Exec(ctx, "STOP SLAVE", fmt.Sprintf("CHANGE MASTER TO MASTER_HOST=%s, MASTER_PORT=%d, MASTER_USER=%s, "+
		"MASTER_PASSWORD=%s, MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=0.5",
		quote(primary.host), primary.Port(), quote(account.User), quote(account.Password)), "SET GLOBAL rpl_semi_sync_slave_enabled=1", "START SLAVE")
}

// WaitCaughtUp waits until m has applied everything that is in primary's binary log now, and both of its replication
// threads run. An error of theirs, where they report one, is in the error.
func (m *Maria) WaitCaughtUp(ctx context.Context, primary *Maria) error {
	ctx, cancel := context.WithTimeout(ctx, ReplicationTimeout)
	defer cancel()
	pos, err := primary.Value(ctx, "SELECT @@gtid_binlog_pos")
	if err != nil {
		return err
	}
	return Eventually(ctx, readyInterval, func(ctx context.Context) error { return m.caughtUp(ctx, pos) })
}

func (m *Maria) caughtUp(ctx context.Context, pos string) error {
	s, err := m.Row(ctx, "SHOW SLAVE STATUS")
	if err != nil {
		return err
	}
	if s["Slave_IO_Running"] != "Yes" || s["Slave_SQL_Running"] != "Yes" {
		return fmt.Errorf("%s does not replicate: IO %s, SQL %s %s", m.Name(), s["Slave_IO_Running"], s["Slave_SQL_Running"],
			strings.TrimSpace(s["Last_IO_Error"]+" "+s["Last_SQL_Error"]))
	}
	reached, err := m.Value(ctx, "SELECT MASTER_GTID_WAIT(?, 0)", pos)
	if err == nil && reached != "0" {
		err = errors.New(m.Name() + " has not reached " + pos)
	}
	return err
}

// quote makes an SQL string literal of s for a server without NO_BACKSLASH_ESCAPES.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
