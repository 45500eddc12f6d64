package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const quiet = `--- 2026-01-02T03:04:05.000000006Z /usr/bin/zerokeeper ["--name" "k1"]
2026-01-02T03:04:05.123Z [INFO]  keeper: leader: term=3
2026-01-02T03:04:05.123Z [WARN]  keeper: an error was answered: error="no [ERROR] here"
{"@level":"info","@message":"ok"}
`

const failStop = "2026-01-02T03:04:06.123+0200 [ERROR] keeper: the Raft store failed: error=EIO\n"

const severalLines = `2026-01-02T03:04:06.123Z [ERROR] keeper: failed to take snapshot:
  error=
  | failed to persist snapshot: the Raft store failed: EIO
  | write state.bin: EIO
  
`

const dump = `panic: failed to save current term: input/output error [recovered]
	panic: again

goroutine 12 [running]:
main.main()
	/src/main.go:3 +0x1d
goroutine 13 gp=0xc0000061c0 m=nil [select]:
`

func TestLogScan(t *testing.T) {
	allowed, err := Allow(`the Raft store failed`, `failed to save current term`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		want       string
		problems   int
	}{
		{"quiet", quiet, "", 0},
		{"empty", "", "", 0},
		{"no newline at the end", strings.TrimSpace(quiet), "", 0},
		{"fail-stop", quiet + failStop, "", 0},
		{"fail-stop with a panic", quiet + failStop + dump + quiet, "", 0},
		{"an error", quiet + strings.ReplaceAll(failStop, "store", "cat"), "error: k.log:5: 2026", 1},
		{"an error of several lines", quiet + severalLines + quiet, "", 0},
		{"an error of several lines at the end", quiet + severalLines, "", 0},
		{"an error of several lines that nothing excuses", quiet + strings.ReplaceAll(severalLines, "store", "cat") + quiet, "error: k.log:5: 2026", 1},
		{"an excuse in the next record", quiet + strings.ReplaceAll(severalLines, "store", "cat") + failStop, "error: k.log:5: 2026", 1},
		{"two errors of several lines", severalLines + strings.ReplaceAll(severalLines, "store", "cat"), "error: k.log:6: 2026", 1},
		{"a data race behind an error", quiet + severalLines + "WARNING: DATA RACE\n", "data race: k.log:10", 1},
		{"a JSON error", `{"@level":"error","@message":"x"}`, "error: k.log:1", 1},
		{"a panic", quiet + "panic: runtime error: index out of range\n\n" + dump[strings.Index(dump, "goroutine"):], "crash: k.log:5: panic: runtime", 1},
		{"a second panic", "panic: x\n" + quiet + "panic: y\n", "crash: k.log:6: panic: y", 2},
		{"a panic that was recovered", "2026-01-02T03:04:05.123Z [INFO]  keeper: handler: panic: nil map\n", "crash: k.log:1", 1},
		{"a panic of net/http", "2026/01/02 03:04:05 http: panic serving 127.0.0.1:1: x\ngoroutine 1 [running]:\n", "crash: k.log:1", 1},
		{"a fatal error", "fatal error: concurrent map writes\n\ngoroutine 1 [running]:\n", "crash: k.log:1: fatal error", 1},
		{"a signal", "SIGQUIT: quit\nPC=0x1\n\ngoroutine 0 [idle]:\n", "crash: k.log:1: SIGQUIT", 1},
		{"goroutines of nobody", quiet + "goroutine 1 [running]:\n", "goroutines: k.log:5", 1},
		{"goroutines of a process after an excused one", dump + quiet + "goroutine 1 [running]:\n", "goroutines: k.log:12", 1},
		{"a data race", quiet + "==================\nWARNING: DATA RACE\nWrite at 0x1 by goroutine 7:\n", "data race: k.log:6", 1},
		{"a data race is never excused", dump + "WARNING: DATA RACE\n", "data race: k.log:8", 1},
		{"a long line", strings.Repeat("x", 3*maxScanned) + "\r\npanic: after it\r\n", "crash: k.log:2: panic: after it", 1},
		{"many", strings.Repeat("panic: x\n"+quiet, 100), "and 80 more", maxProblems + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "k.log")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			v := LogScan(allowed, path)
			wantVerdict(t, v, c.want)
			if len(v.Problems) != c.problems {
				t.Errorf("%d problems, want %d: %q", len(v.Problems), c.problems, v.Problems)
			}
		})
	}
}

func TestLogScanUndecided(t *testing.T) {
	wantUndecided(t, LogScan(nil), "no log to scan")
	wantUndecided(t, LogScan(nil, filepath.Join(t.TempDir(), "none")), "no such file")
	wantUndecided(t, LogScan(nil, t.TempDir()), "scan")
	if _, err := Allow("("); err == nil {
		t.Error("an expression that is none")
	}
}
