package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// EnvPrefix starts the name of every environment variable of zero.
const EnvPrefix = "ZERO_"

// ConfigFlag names the settings file. Every table has it without listing it.
const ConfigFlag = "config"

// ErrTable is returned for a table that is wrong: a mistake of the program,
// not of its user.
var ErrTable = errors.New("table of flags")

// Flag is a row of the table.
type Flag struct {
	Name  string // lower case, words joined by "-"
	Short string // one letter, or empty
	// Value points at a string, []string, bool, int, int64, uint64, float64 or
	// time.Duration, or is a pflag.Value. What it holds is the default.
	Value  any
	Arg    string // what help calls the value, e.g. "host:port"; empty for its type
	Usage  string // one line: what it does, with unit
	Secret bool   // its value is never printed
}

// Env is the name of the row's environment variable.
func (f Flag) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// Set is a program's table with the values in use. It is not safe for
// concurrent use; Load runs once, at the start.
type Set struct {
	program string
	flags   []Flag
	path    string // of --config
	root    string // what stands for /etc/zero
	fs      *pflag.FlagSet
	sources map[string]Source
}

// Source says where a value comes from.
type Source string

// The sources, the strongest first.
const (
	FromFlag    Source = "flag"
	FromEnv     Source = "environment"
	FromFile    Source = "file"
	FromDefault Source = "default"
)

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// New checks the table and registers it with fs. The program's name is the
// name of its file: /etc/zero/NAME.yaml.
func New(program string, flags []Flag, fs *pflag.FlagSet) (*Set, error) {
	s := &Set{program: program, fs: fs, root: "/etc/zero", sources: map[string]Source{}}
	all := append([]Flag{{
		Name: ConfigFlag, Value: &s.path, Arg: "file",
		Usage: "settings file, YAML; its keys are the names of the flags (default " + s.DefaultPath() + ", if it exists)",
	}}, flags...)
	for _, f := range all {
		switch {
		case !namePattern.MatchString(f.Name):
			return nil, fmt.Errorf("%w: name %q", ErrTable, f.Name)
		case fs.Lookup(f.Name) != nil:
			return nil, fmt.Errorf("%w: --%s is there twice", ErrTable, f.Name)
		case f.Usage == "" || strings.Contains(f.Usage, "\n"):
			return nil, fmt.Errorf("%w: --%s needs a usage of one line", ErrTable, f.Name)
		}
		if err := register(fs, f); err != nil {
			return nil, err
		}
	}
	s.flags = all
	return s, nil
}

// DefaultPath is the file that is read when --config is not given.
func (s *Set) DefaultPath() string {
	return filepath.Join(s.root, s.program+".yaml")
}

// register adds a row to fs under the name that help shows for its value.
func register(fs *pflag.FlagSet, f Flag) error {
	switch p := f.Value.(type) {
	case *string:
		fs.StringVarP(p, f.Name, f.Short, *p, f.Usage)
	case *[]string:
		fs.StringSliceVarP(p, f.Name, f.Short, *p, f.Usage)
	case *bool:
		fs.BoolVarP(p, f.Name, f.Short, *p, f.Usage)
	case *int:
		fs.IntVarP(p, f.Name, f.Short, *p, f.Usage)
	case *int64:
		fs.Int64VarP(p, f.Name, f.Short, *p, f.Usage)
	case *uint64:
		fs.Uint64VarP(p, f.Name, f.Short, *p, f.Usage)
	case *float64:
		fs.Float64VarP(p, f.Name, f.Short, *p, f.Usage)
	case *time.Duration:
		fs.DurationVarP(p, f.Name, f.Short, *p, f.Usage)
	case pflag.Value:
		fs.VarP(p, f.Name, f.Short, f.Usage)
	default:
		return fmt.Errorf("%w: --%s has a value of type %T", ErrTable, f.Name, f.Value)
	}
	added := fs.Lookup(f.Name)
	if f.Secret {
		added.DefValue = ""
	}
	if f.Arg == "" {
		return nil
	}
	if list, ok := added.Value.(pflag.SliceValue); ok {
		added.Value = namedList{named{added.Value, f.Arg}, list}
	} else {
		added.Value = named{added.Value, f.Arg}
	}
	return nil
}

// named is a value with another name in help.
type named struct {
	pflag.Value
	arg string
}

func (n named) Type() string { return n.arg }

// namedList is the same for a list.
type namedList struct {
	named
	pflag.SliceValue
}

// Load fills what no flag gave: from the environment (getenv is os.LookupEnv
// but in tests), then from the file. It is called after the flags were parsed.
// The error lists everything that is wrong, each with its place.
func (s *Set) Load(getenv func(string) (string, bool)) error {
	var wrong []error
	for _, f := range s.flags {
		flag := s.fs.Lookup(f.Name)
		if flag.Changed {
			s.sources[f.Name] = FromFlag
			continue
		}
		text, ok := getenv(f.Env())
		if !ok || text == "" {
			continue
		}
		if err := flag.Value.Set(text); err != nil {
			wrong = append(wrong, valueError(f, f.Env(), text, err))
			continue
		}
		s.sources[f.Name] = FromEnv
	}
	if err := s.loadFile(); err != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// loadFile reads the file that was named, or the default one if there is one.
func (s *Set) loadFile() error {
	path := s.path
	if path == "" {
		path = s.DefaultPath()
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	data, err := readBounded(path)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	entries, err := parseFile(data, s.flags)
	if err != nil {
		return fmt.Errorf("settings file %s:\n%w", path, err)
	}
	var wrong []error
	for _, e := range entries {
		if err := s.apply(e); err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("settings file %s:\n%w", path, errors.Join(wrong...))
	}
	return nil
}

// apply gives an entry of the file to its flag, unless a stronger source did.
func (s *Set) apply(e entry) error {
	value := s.fs.Lookup(e.flag.Name).Value
	list, isList := value.(pflag.SliceValue)
	if e.list && !isList {
		return fmt.Errorf("  line %d: %s takes one value, not a list", e.line, e.flag.Name)
	}
	if _, stronger := s.sources[e.flag.Name]; stronger {
		return nil
	}
	if e.list {
		if err := list.Replace(e.values); err != nil {
			return fmt.Errorf("  line %d: %s: %w", e.line, e.flag.Name, err)
		}
	} else if err := value.Set(e.values[0]); err != nil {
		return fmt.Errorf("  line %d: %w", e.line, valueError(e.flag, e.flag.Name, e.values[0], err))
	}
	s.sources[e.flag.Name] = FromFile
	return nil
}

// valueError says what a value should have been. A secret is not repeated.
func valueError(f Flag, where, text string, err error) error {
	if f.Secret {
		return fmt.Errorf("%s: %w", where, err)
	}
	want := ""
	switch f.Value.(type) {
	case *bool:
		want = "; want true or false"
	case *time.Duration:
		want = "; want a duration such as 250ms or 30s"
	case *int, *int64, *uint64, *float64:
		want = "; want a number"
	}
	return fmt.Errorf("%s: %q cannot be used%s (%w)", where, text, want, err)
}
