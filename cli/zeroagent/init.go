package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/agent/mysql"
)

// initCommand prints what a database server needs before its agent can work.
func (o *options) initCommand() *cobra.Command {
	var (
		print    bool
		serverID uint32
		hosts    []string
		replHost string
	)
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Print the accounts and settings that a database server needs",
		Long: `init prints SQL for the two accounts (the agent's, and the one that replicas log in with) and the settings for my.cnf,
as comments. Run the SQL on every server of the group as an administrator; it may be run again. It contains the passwords.`,
		Example: `  zeroagent init --print-sql --password-ref '${file:/etc/zero/agent.password}' \
            --replication-password-ref '${file:/etc/zero/replication.password}' | mariadb -u root`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !print {
				return fmt.Errorf("init changes nothing by itself: add --print-sql and run what it prints")
			}
			if o.password == "" || o.replPass == "" {
				return fmt.Errorf("--password-ref and --replication-password-ref are needed: the SQL sets these passwords")
			}
			password, err := o.secret(o.password)()
			if err != nil {
				return fmt.Errorf("--password-ref: %w", err)
			}
			replication, err := o.secret(o.replPass)()
			if err != nil {
				return fmt.Errorf("--replication-password-ref: %w", err)
			}
			sql, err := mysql.InitSQL(mysql.InitParams{
				AgentUser: o.user, AgentHosts: hosts, AgentPassword: password,
				ReplicationUser: o.replUser, ReplicationHost: replHost, ReplicationPassword: replication,
				ManageEvents: o.events, SemiSync: o.semiSync, ServerID: serverID, ServerConf: o.serverConf,
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), sql)
			return err
		},
	}
	cmd.Flags().BoolVar(&print, "print-sql", false, "print the SQL")
	cmd.Flags().Uint32Var(&serverID, "server-id", 0, "server_id to show among the settings")
	cmd.Flags().StringSliceVar(&hosts, "agent-host", nil, "host patterns that the agent connects from (default localhost and 127.0.0.1)")
	cmd.Flags().StringVar(&replHost, "replication-host", "%", "host pattern that replicas connect from")
	return cmd
}
