package daemon

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// levels of the log, from the most verbose.
var levels = []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error}

// parseLevel reads the name of a level.
func parseLevel(name string) (hclog.Level, error) {
	for _, level := range levels {
		if level.String() == strings.ToLower(name) {
			return level, nil
		}
	}
	return hclog.NoLevel, fmt.Errorf("log level %q: want trace, debug, info, warn or error", name)
}

// newLogger makes the root logger. Loggers that are named below it share its
// level, so that a change at run time reaches all of them.
func newLogger(name string, level hclog.Level, json bool, out io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: name, Level: level, JSONFormat: json, Output: out})
}

// shift moves the level by n steps towards quiet (negative: towards verbose)
// and says where it ended.
func shift(log hclog.Logger, n int) hclog.Level {
	i := slices.Index(levels, log.GetLevel())
	next := levels[min(max(i+n, 0), len(levels)-1)]
	log.SetLevel(next)
	return next
}

// levelHandler shows the level, and sets it for a caller on this host.
func levelHandler(log hclog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodPut:
			if !fromLoopback(r) {
				http.Error(w, "the log level is changed from this host only: use 127.0.0.1", http.StatusForbidden)
				return
			}
			level, err := parseLevel(r.URL.Query().Get("level"))
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			if was := log.GetLevel(); was != level {
				log.SetLevel(level)
				log.Warn("log level changed", "from", was, "to", level, "by", r.RemoteAddr)
			}
		default:
			w.Header().Set("Allow", "GET, PUT")
			http.Error(w, "want GET or PUT ?level=", http.StatusMethodNotAllowed)
			return
		}
		fmt.Fprintln(w, log.GetLevel())
	})
}

// fromLoopback reports whether the request's connection comes from this host.
func fromLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
