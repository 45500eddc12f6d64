-- Accounts of zero. Run on every server of the group, as an administrator.
SET SESSION sql_log_bin=0;
CREATE USER IF NOT EXISTS 'zero_agent'@'localhost' IDENTIFIED BY PASSWORD '*667F407DE7C6AD07358FA38DAED7828A72014B4E';
ALTER USER 'zero_agent'@'localhost' IDENTIFIED BY PASSWORD '*667F407DE7C6AD07358FA38DAED7828A72014B4E';
GRANT BINLOG MONITOR, CONNECTION ADMIN, PROCESS, READ_ONLY ADMIN, RELOAD, REPLICA MONITOR, REPLICATION MASTER ADMIN, REPLICATION SLAVE ADMIN ON *.* TO 'zero_agent'@'localhost';
GRANT SELECT ON mysql.event TO 'zero_agent'@'localhost';
GRANT SELECT ON mysql.global_priv TO 'zero_agent'@'localhost';
GRANT SELECT ON mysql.roles_mapping TO 'zero_agent'@'localhost';
CREATE USER IF NOT EXISTS 'zero_agent'@'127.0.0.1' IDENTIFIED BY PASSWORD '*667F407DE7C6AD07358FA38DAED7828A72014B4E';
ALTER USER 'zero_agent'@'127.0.0.1' IDENTIFIED BY PASSWORD '*667F407DE7C6AD07358FA38DAED7828A72014B4E';
GRANT BINLOG MONITOR, CONNECTION ADMIN, PROCESS, READ_ONLY ADMIN, RELOAD, REPLICA MONITOR, REPLICATION MASTER ADMIN, REPLICATION SLAVE ADMIN ON *.* TO 'zero_agent'@'127.0.0.1';
GRANT SELECT ON mysql.event TO 'zero_agent'@'127.0.0.1';
GRANT SELECT ON mysql.global_priv TO 'zero_agent'@'127.0.0.1';
GRANT SELECT ON mysql.roles_mapping TO 'zero_agent'@'127.0.0.1';
CREATE USER IF NOT EXISTS 'zero_repl'@'%' IDENTIFIED BY PASSWORD '*7B844B41A3799185EBF33B603FA8C632E65CA3EF';
ALTER USER 'zero_repl'@'%' IDENTIFIED BY PASSWORD '*7B844B41A3799185EBF33B603FA8C632E65CA3EF' REQUIRE NONE;
GRANT REPLICATION SLAVE ON *.* TO 'zero_repl'@'%';
SET SESSION sql_log_bin=1;

-- Settings for the server's configuration file; a restart applies them.
-- [mariadb]
-- server_id = <unique in the group>
-- report_host = <the host that others know this server by>
-- report_port = 3306
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
-- # At the end. The agent writes it: an old primary that is started again drops what nobody acknowledged.
-- !include <the file of zeroagent --server-conf>
-- Settings for the server's service (systemctl edit mariadb): a primary that crashed is not started before that is decided.
-- [Service]
-- ExecStartPre=+/usr/bin/zeroagent await-start
