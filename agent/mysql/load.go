package mysql

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// Load is the load of the database's host.
type Load struct {
	Load1        float64 `json:"load1"` // the kernel's averages of runnable tasks
	Load5        float64 `json:"load5"`
	Load15       float64 `json:"load15"`
	Cores        int     `json:"cores"`        // logical processors
	MemTotal     uint64  `json:"memTotal"`     // bytes
	MemAvailable uint64  `json:"memAvailable"` // bytes, without swapping
	DiskFree     uint64  `json:"diskFree"`     // bytes that an ordinary user may still use on the data directory's file system
	Connections  uint64  `json:"connections"`  // open at the database server now
}

// procFile bounds what is read of a file in /proc.
const procFile = 64 << 10

// Load reads the host's figures, and the server's as far as it answers: on an
// error the rest is still filled in.
func (s *Server) Load(ctx context.Context) (Load, error) {
	l := Load{Cores: runtime.NumCPU()}
	var errs []error
	if err := readProc("/proc/loadavg", l.parseLoadavg); err != nil {
		errs = append(errs, err)
	}
	if err := readProc("/proc/meminfo", l.parseMeminfo); err != nil {
		errs = append(errs, err)
	}
	dir := s.cfg.DataDir
	serverDir, connections, err := s.serverLoad(ctx)
	if err != nil {
		errs = append(errs, err)
	}
	l.Connections = connections
	if dir == "" {
		dir = serverDir
	}
	if dir != "" {
		if l.DiskFree, err = diskFree(dir); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return l, fmt.Errorf("load of %s: %w", s.cfg.Address, err)
	}
	return l, nil
}

func (s *Server) serverLoad(ctx context.Context) (dataDir string, connections uint64, err error) {
	c, err := s.session(ctx, s.work)
	if err != nil {
		return "", 0, err
	}
	defer c.close()
	r, err := c.settings(ctx, "read status", "SHOW GLOBAL STATUS WHERE Variable_name='Threads_connected'")
	if err != nil {
		return "", 0, err
	}
	dataDir, err = c.value(ctx, "read datadir", "SELECT @@global.datadir")
	return dataDir, r.uint("Threads_connected"), err
}

func readProc(path string, parse func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := parse(io.LimitReader(f, procFile)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (l *Load) parseLoadavg(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	fields := strings.Fields(string(b))
	if len(fields) < 3 {
		return fmt.Errorf("%d fields instead of at least 3", len(fields))
	}
	for i, into := range []*float64{&l.Load1, &l.Load5, &l.Load15} {
		if *into, err = strconv.ParseFloat(fields[i], 64); err != nil {
			return err
		}
	}
	return nil
}

func (l *Load) parseMeminfo(r io.Reader) error {
	want := map[string]*uint64{"MemTotal:": &l.MemTotal, "MemAvailable:": &l.MemAvailable}
	lines := bufio.NewScanner(r)
	for lines.Scan() && len(want) > 0 {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || want[fields[0]] == nil {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 53)
		if err != nil {
			return fmt.Errorf("%s %w", fields[0], err)
		}
		*want[fields[0]] = kib << 10
		delete(want, fields[0])
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if len(want) > 0 {
		return errors.New("MemTotal or MemAvailable is missing")
	}
	return nil
}

func diskFree(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
