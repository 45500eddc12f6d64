-- Accounts of zero. Run on every server of the group, as an administrator.
SET SESSION sql_log_bin=0;
CREATE USER IF NOT EXISTS 'zero_agent'@'localhost' IDENTIFIED BY PASSWORD '*667F407DE7C6AD07358FA38DAED7828A72014B4E';
ALTER USER 'zero_agent'@'localhost' IDENTIFIED BY PASSWORD '*667F407DE7C6AD07358FA38DAED7828A72014B4E';
GRANT BINLOG MONITOR, CONNECTION ADMIN, PROCESS, READ_ONLY ADMIN, RELOAD, REPLICA MONITOR, REPLICATION MASTER ADMIN, REPLICATION SLAVE ADMIN ON *.* TO 'zero_agent'@'localhost';
GRANT SELECT ON mysql.event TO 'zero_agent'@'localhost';
GRANT SELECT ON mysql.global_priv TO 'zero_agent'@'localhost';
GRANT SELECT ON mysql.roles_mapping TO 'zero_agent'@'localhost';
-- SET GLOBAL event_scheduler needs no less.
GRANT SUPER ON *.* TO 'zero_agent'@'localhost';
CREATE USER IF NOT EXISTS 'zero_repl'@'10.0.0.%' IDENTIFIED BY PASSWORD '*7B844B41A3799185EBF33B603FA8C632E65CA3EF';
ALTER USER 'zero_repl'@'10.0.0.%' IDENTIFIED BY PASSWORD '*7B844B41A3799185EBF33B603FA8C632E65CA3EF' REQUIRE SSL;
GRANT REPLICATION SLAVE ON *.* TO 'zero_repl'@'10.0.0.%';
SET SESSION sql_log_bin=1;

-- Settings for the server's configuration file; a restart applies them.
-- [mariadb]
-- server_id = 7
-- report_host = db7
-- report_port = 3307
-- read_only = 1                  # only zero makes a server writable
-- log_bin = binlog
-- log_slave_updates = 1
-- binlog_format = ROW
-- gtid_strict_mode = 1
-- sync_binlog = 1
-- innodb_flush_log_at_trx_commit = 1
-- skip_slave_start = 1           # a start in GTID mode deletes the relay log
-- relay_log_recovery = 0         # so does this
-- slave_parallel_threads = 4
-- slave_parallel_mode = optimistic
-- slave_net_timeout = 2
-- rpl_semi_sync_master_enabled = 1
-- rpl_semi_sync_master_wait_point = AFTER_SYNC
-- rpl_semi_sync_master_timeout = 315360000000
-- rpl_semi_sync_master_wait_no_slave = 1
-- rpl_semi_sync_slave_enabled = 0  # the agent turns it on once the record names the replica
-- rpl_semi_sync_slave_kill_conn_timeout = 1  # for a source that is silent; never 0
-- # sync_relay_log = 1           # makes an acknowledgement mean: on the replica's disk; one fsync for each event
-- event_scheduler = OFF          # the agent turns it on where the primary is
-- # At the end. The agent writes it: an old primary that is started again drops what nobody acknowledged.
-- !include /etc/mysql/zero.cnf
-- Settings for the server's service (systemctl edit mariadb): a primary that crashed is not started before that is decided.
-- [Service]
-- ExecStartPre=+/usr/bin/zeroagent await-start
