package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/agent"
	"github.com/zerokeeper/zero/cli/daemon"
)

const (
	startPath  = "/startz"
	startLook  = 200 * time.Millisecond // between two questions
	startReply = 2 * time.Second        // bounds one
	startText  = 4 << 10                // bytes of an answer that are read
)

// serveStart says on the HTTP port whether the server may be started: 200, or 503 and
// why not yet.
func serveStart(env *daemon.Env, a *agent.Agent) {
	if env.HTTP == nil {
		return
	}
	env.HTTP.HandleFunc("GET "+startPath, func(w http.ResponseWriter, r *http.Request) {
		if err := a.MayStart(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, err := io.WriteString(w, "ok\n")
		if err != nil {
			env.Log.Debug("write whether the server may be started", "error", err)
		}
	})
}

// awaitStartCommand is for whoever starts the database server.
func (o *options) awaitStartCommand() *cobra.Command {
	var (
		agentAddr string
		wait      time.Duration
	)
	cmd := &cobra.Command{
		Use:   "await-start",
		Short: "Wait until the agent knows as what its database server has to be started",
		Long: `await-start is called before the database server is started, by its service manager. After a crash of a primary it waits
until the keepers have taken another or have left it: only then the file of --server-conf says how it must recover. A
server that is not waited for is safe, but may have to be built anew. It gives up after --wait, says so, and exits
with 0: a server that does not run helps nobody.`,
		Example: `  # /etc/systemd/system/mariadb.service.d/zero.conf
  [Service]
  ExecStartPre=+/usr/bin/zeroagent await-start`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait <= 0 {
				return fmt.Errorf("--wait %v: want more than 0", wait)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			if err := awaitStart(ctx, "http://"+agentAddr+startPath); err != nil && cmd.Context().Err() == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "not waiting longer than %v for the agent; the server is started as the file of --server-conf says now: %v\n", wait, err)
			}
			return cmd.Context().Err()
		},
	}
	cmd.Flags().StringVar(&agentAddr, "agent", "127.0.0.1:7301", "host:port of the agent's --http")
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long at most; less than the service's TimeoutStartSec")
	return cmd
}

// awaitStart asks until the answer is yes; else it returns the last reason when ctx ends.
func awaitStart(ctx context.Context, url string) error {
	for {
		err := mayStart(ctx, url)
		if err == nil {
			return nil
		}
		pause := time.NewTimer(startLook)
		select {
		case <-ctx.Done():
			pause.Stop()
			return err
		case <-pause.C:
		}
	}
}

func mayStart(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startReply)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, startText))
	switch {
	case err != nil:
		return fmt.Errorf("ask the agent: %w", err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return nil
}
