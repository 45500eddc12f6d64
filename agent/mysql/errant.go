package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxSaved bounds the binary logs that SaveErrant copies, in bytes.
const maxSaved = 8 << 30

// SourceState asks a source what it has (its Executed, as text), with the account
// that this server replicates with.
func (s *Server) SourceState(ctx context.Context, src Source) (string, error) {
	if s.cfg.ReplicationUser == "" {
		return "", errors.New("ask the source what it has: no replication account is configured")
	}
	t, err := s.cfg.ReplicationTLS.client(src.Host)
	if err != nil {
		return "", fmt.Errorf("ask the source what it has: %w", err)
	}
	address := net.JoinHostPort(src.Host, strconv.Itoa(int(src.Port)))
	connector, err := newConnector(dialConfig{address: address, user: s.cfg.ReplicationUser, password: s.cfg.ReplicationPassword,
		tls: t, timeout: s.cfg.StatementTimeout, log: s.cfg.Logger})
	if err != nil {
		return "", err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	c, err := s.session(ctx, db)
	if err != nil {
		return "", err
	}
	defer c.close()
	_, state, pos, err := c.gtids(ctx)
	if err != nil {
		return "", fmt.Errorf("ask %s what it has: %w", address, err)
	}
	all, err := executed(state, pos)
	return all.String(), err
}

// client is the configuration of a connection to that source by the agent
// itself, which runs where the files are. nil: no TLS.
func (t ReplicationTLS) client(host string) (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	cfg := &tls.Config{ServerName: host, InsecureSkipVerify: !t.Verify, MinVersion: tls.VersionTLS12} // as MASTER_SSL_VERIFY_SERVER_CERT
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificates", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// SaveErrant copies the binary logs that have what this server has and the
// source, whose Executed is given, lacks: the newest files, back to one that begins
// with what the source has. They go to a new directory below dir, whose path is
// returned; a directory that is there already is not written again.
func (s *Server) SaveErrant(ctx context.Context, sourceState, dir string) (path string, err error) {
	source, err := ParseGTIDState(sourceState)
	if err != nil {
		return "", fmt.Errorf("save errant transactions: state of the source: %w", err)
	}
	c, err := s.workSession(ctx)
	if err != nil {
		return "", fmt.Errorf("save errant transactions: %w", err)
	}
	defer c.close()
	path, err = c.saveErrant(ctx, source, dir)
	if err != nil {
		return "", fmt.Errorf("save errant transactions of %s: %w", s.cfg.Address, err)
	}
	return path, nil
}

func (c *session) saveErrant(ctx context.Context, source GTIDState, dir string) (string, error) {
	_, state, pos, err := c.gtids(ctx)
	if err != nil {
		return "", err
	}
	mine, err := executed(state, pos)
	if err != nil {
		return "", err
	}
	errant := Errant(mine, source)
	if len(errant) == 0 {
		return "", errors.New("there are none")
	}
	path := filepath.Join(dir, "errant-"+clip(strings.ReplaceAll(joinGTIDs(errant), ",", "_")))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	files, err := c.errantFiles(ctx, source)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(dir, ".errant-*")
	if err != nil {
		return "", err
	}
	err = copyAll(ctx, files, tmp)
	if err == nil {
		err = os.WriteFile(filepath.Join(tmp, "errant.txt"), []byte("errant: "+joinGTIDs(errant)+"\nthis server: "+mine.String()+"\nsource: "+source.String()+"\n"), 0o600)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(tmp))
	}
	return path, nil
}

// errantFiles names the files to copy, newest first.
func (c *session) errantFiles(ctx context.Context, source GTIDState) ([]string, error) {
	base, err := c.value(ctx, "read log_bin_basename", "SELECT @@global.log_bin_basename")
	if err != nil {
		return nil, err
	}
	logs, err := c.query(ctx, "show binary logs", "SHOW BINARY LOGS")
	if err != nil {
		return nil, err
	}
	var files []string
	var total uint64
	for i := len(logs) - 1; i >= 0; i-- {
		name := logs[i]["Log_name"]
		if total += logs[i].uint("File_size"); total > maxSaved {
			return nil, fmt.Errorf("they are spread over more than %d bytes of binary logs: save them by hand", int64(maxSaved))
		}
		files = append(files, filepath.Join(filepath.Dir(base), filepath.Base(name)))
		quoted, err := quoteMax("binary log", name, maxPathLiteral)
		if err != nil {
			return nil, err
		}
		head, err := c.query(ctx, "show binlog events", "SHOW BINLOG EVENTS IN "+quoted+" LIMIT 4")
		if err != nil {
			return nil, err
		}
		for _, e := range head {
			if e["Event_type"] != "Gtid_list" {
				continue
			}
			began, err := ParseGTIDState(strings.Trim(e["Info"], "[]"))
			if err == nil && source.Contains(began) {
				return files, nil
			}
		}
	}
	return files, nil // all that there are
}

// copyAll copies files and syncs them.
func copyAll(ctx context.Context, files []string, dir string) error {
	for _, name := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := copyFile(name, filepath.Join(dir, filepath.Base(name))); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
