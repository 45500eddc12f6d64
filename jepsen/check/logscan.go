package check

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
)

// maxScanned bounds the bytes of a line that are looked at.
const maxScanned = 64 << 10

// traces are the lines that no log of a sound process has.
var (
	crash     = regexp.MustCompile(`^(panic: |fatal error: |runtime: out of memory|unexpected fault address|SIG[A-Z]+: |\[signal SIG)|\bpanic: |\bpanic serving |\bfatal error: `)
	race      = regexp.MustCompile(`^WARNING: DATA RACE`)
	goroutine = regexp.MustCompile(`^goroutine \d+(?: gp=\S+ m=\S+(?: mp=\S+)?)? \[`)
	errorLine = regexp.MustCompile(`^\S+ \[ERROR\] |"@level":"error"`)
	// A line of hclog, as text or JSON, or fleet's heading of a new process, ends the dump of a crash.
	logged = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\S+ +\[[A-Z]+\]|^\{.*"@level"`)
	header = regexp.MustCompile(`^--- \d{4}-\d\d-\d\dT`)
	// hclog sets values of several lines off by spaces, behind the line of the message.
	continued = regexp.MustCompile(`^  \S|^  \| |^  $`)
)

// LogScan checks I14 on logs of zero's processes: panics, fatal errors, data races, dumps of goroutines and [ERROR]
// lines of hclog are problems, with file and line. allow is what is expected of processes that must stop, as regular
// expressions of whole or parts of lines: it excuses error lines and crashes, the dump after an excused crash too, but
// never a data race. A value of several lines belongs to the error line that it stands behind. A file that cannot be read, and none at all, are Unknown.
func LogScan(allow []*regexp.Regexp, files ...string) Verdict {
	f := newFinding()
	s := scanner{f: f, allow: allow}
	if len(files) == 0 {
		f.undecided("no log to scan")
	}
	for _, file := range files {
		if err := s.file(file); err != nil {
			f.undecided("scan %s: %v", file, err)
		}
	}
	f.stat("files", len(files))
	f.stat("lines", s.lines)
	f.stat("excused", s.excused)
	return f.verdict()
}

type scanner struct {
	f              *finding
	allow          []*regexp.Regexp
	lines, excused int
	// Of the file at hand.
	dump reason // whose goroutines are being listed
	open string // what is to be said of an error line, unless a line of its values excuses it
}

// reason is why there are goroutines in a log.
type reason int

const (
	none     reason = iota
	expected        // after an excused crash
	reported        // after one that is a problem already
)

func (s *scanner) file(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	s.dump, s.open = none, ""
	in := bufio.NewReaderSize(file, maxScanned)
	for number := 1; ; number++ {
		line, rerr := in.ReadSlice('\n')
		if len(line) > 0 {
			s.lines++
			s.line(filepath.Base(path), number, trim(line))
		}
		for errors.Is(rerr, bufio.ErrBufferFull) { // the rest of a long line
			_, rerr = in.ReadSlice('\n')
		}
		if errors.Is(rerr, io.EOF) {
			s.close()
			return file.Close()
		}
		if rerr != nil {
			return errors.Join(rerr, file.Close())
		}
	}
}

// line looks at one line. A dump is reported once, where it begins.
func (s *scanner) line(file string, number int, line []byte) {
	report := func(what string) { s.f.problem("%s: %s:%d: %s", what, file, number, line) }
	if s.open != "" {
		if continued.Match(line) {
			if s.allowed(line) {
				s.open = ""
			}
			return
		}
		s.close()
	}
	ofLogger := logged.Match(line)
	if ofLogger || header.Match(line) {
		s.dump = none
	}
	switch {
	case race.Match(line):
		report("data race")
		s.dump = reported
	case crash.Match(line):
		if s.allowed(line) {
			s.dump = expected
		} else if s.dump == none {
			report("crash")
			s.dump = reported
		}
	case errorLine.Match(line):
		if !s.allowed(line) {
			s.open = fmt.Sprintf("error: %s:%d: %s", file, number, line)
		}
	case goroutine.Match(line) && s.dump == none:
		report("goroutines")
		s.dump = reported
	}
}

// close reports the error line that nothing excused.
func (s *scanner) close() {
	if s.open != "" {
		s.f.problem("%s", s.open)
		s.open = ""
	}
}

func (s *scanner) allowed(line []byte) bool {
	for _, re := range s.allow {
		if re.Match(line) {
			s.excused++
			return true
		}
	}
	return false
}

func trim(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}

// Allow compiles expressions for LogScan.
func Allow(expressions ...string) ([]*regexp.Regexp, error) {
	list := make([]*regexp.Regexp, 0, len(expressions))
	for _, e := range expressions {
		re, err := regexp.Compile(e)
		if err != nil {
			return nil, fmt.Errorf("allowed log lines: %w", err)
		}
		list = append(list, re)
	}
	return list, nil
}
