package settings

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// values is what the test's table fills.
type values struct {
	addr    string
	join    []string
	dev     bool
	expect  int
	wait    time.Duration
	ratio   float64
	token   string
	maximum uint64
}

func newValues() *values {
	return &values{addr: "default:1", join: []string{"d1", "d2"}, expect: 3, wait: time.Second, ratio: 0.5, maximum: 9}
}

func (v *values) table() []Flag {
	return []Flag{
		{Name: "addr", Short: "a", Value: &v.addr, Arg: "host:port", Usage: "address"},
		{Name: "join", Value: &v.join, Arg: "host:port,...", Usage: "others"},
		{Name: "dev", Value: &v.dev, Usage: "one keeper in memory"},
		{Name: "bootstrap-expect", Value: &v.expect, Usage: "how many"},
		{Name: "wait", Value: &v.wait, Usage: "how long"},
		{Name: "ratio", Value: &v.ratio, Usage: "part"},
		{Name: "token", Value: &v.token, Secret: true, Usage: "a secret"},
		{Name: "maximum", Value: &v.maximum, Usage: "at most"},
	}
}

// load runs a program named test with its default file in a new directory.
func load(t *testing.T, v *values, args []string, env map[string]string, file string) (*Set, error) {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	set, err := New("test", v.table(), fs)
	if err != nil {
		t.Fatal(err)
	}
	set.root = t.TempDir()
	if file != "" {
		if err := os.WriteFile(set.DefaultPath(), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return set, set.Load(func(key string) (string, bool) {
		text, ok := env[key]
		return text, ok
	})
}

func TestPrecedence(t *testing.T) {
	const file = "addr: file:1\njoin: [f1, f2, f3]\ndev: true\nwait: 3s\n"
	env := map[string]string{"ZERO_ADDR": "env:1", "ZERO_JOIN": "e1,e2", "ZERO_WAIT": "2s", "ZERO_BOOTSTRAP_EXPECT": ""}
	args := []string{"--addr", "flag:1", "--join", "x"}
	for _, test := range []struct {
		name   string
		args   []string
		env    map[string]string
		file   string
		addr   string
		join   []string
		dev    bool
		wait   time.Duration
		source Source // of addr
	}{
		{"default", nil, nil, "", "default:1", []string{"d1", "d2"}, false, time.Second, FromDefault},
		{"file over default", nil, nil, file, "file:1", []string{"f1", "f2", "f3"}, true, 3 * time.Second, FromFile},
		{"environment over file", nil, env, file, "env:1", []string{"e1", "e2"}, true, 2 * time.Second, FromEnv},
		{"flag over environment", args, env, file, "flag:1", []string{"x"}, true, 2 * time.Second, FromFlag},
		{"flag that repeats the default", []string{"--addr", "default:1"}, env, file, "default:1", []string{"e1", "e2"}, true, 2 * time.Second, FromFlag},
		{"false beats a true file", []string{"--dev=false"}, nil, file, "file:1", []string{"f1", "f2", "f3"}, false, 3 * time.Second, FromFile},
		{"list of one as a scalar", nil, nil, "join: only:1\n", "default:1", []string{"only:1"}, false, time.Second, FromDefault},
		{"empty list", nil, nil, "join: []\n", "default:1", []string{}, false, time.Second, FromDefault},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newValues()
			set, err := load(t, v, test.args, test.env, test.file)
			if err != nil {
				t.Fatal(err)
			}
			if v.addr != test.addr || !slices.Equal(v.join, test.join) || v.dev != test.dev || v.wait != test.wait || v.expect != 3 {
				t.Errorf("got %+v", v)
			}
			if got := set.Source("addr"); got != test.source {
				t.Errorf("source of addr is %s, want %s", got, test.source)
			}
		})
	}
}

func TestBadInput(t *testing.T) {
	for _, test := range []struct {
		name string
		env  map[string]string
		file string
		want []string // each is in the error
	}{
		{"unknown key", nil, "addr: x\nbootstrap-expct: 3\n", []string{"line 2", `unknown key "bootstrap-expct"`, `did you mean "bootstrap-expect"?`}},
		{"all of them", nil, "one: 1\ntwo: 2\nwait: soon\n", []string{"line 1", `"one"`, "line 2", `"two"`}},
		{"all wrong values", nil, "dev: perhaps\nwait: 5\n", []string{"line 1", "want true or false", "line 2", "want a duration"}},
		{"repeated key", nil, "addr: x\naddr: y\n", []string{"line 2", "addr"}},
		{"no value", nil, "addr:\n", []string{"line 1", "addr: want a value"}},
		{"mapping for a value", nil, "wait: 1s\naddr:\n  host: x\n", []string{"line 2", "addr: want a value"}},
		{"list for a value", nil, "addr: [a, b]\n", []string{"line 1", "addr takes one value"}},
		{"mapping in a list", nil, "join:\n  - a\n  - b: c\n", []string{"line 3", "plain values"}},
		{"a list", nil, "- addr\n", []string{"line 1", "flag: value"}},
		{"two documents", nil, "addr: x\n---\naddr: y\n", []string{"line 3", "second document"}},
		{"syntax", nil, "addr: [\n", []string{"line 1"}},
		{"the file names itself", nil, "config: other.yaml\n", []string{"unknown key \"config\""}},
		{"alias", nil, "addr: &x y\njoin: [*x]\n", []string{"line 1"}},
		{"environment", map[string]string{"ZERO_BOOTSTRAP_EXPECT": "three"}, "", []string{"ZERO_BOOTSTRAP_EXPECT", `"three"`, "want a number"}},
		{"too large", nil, "# " + strings.Repeat("x", maxFile), []string{"larger than"}},
		{"deep", nil, "addr: " + strings.Repeat("[", 50_000), []string{"50000 times '['"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := load(t, newValues(), nil, test.env, test.file)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

func TestNamedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.yaml")
	v := newValues()
	if _, err := load(t, v, []string{"--config", path}, nil, "addr: default-file\n"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a named file that is missing: %v", err)
	}
	if err := os.WriteFile(path, []byte("addr: other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, give := range []struct {
		args []string
		env  map[string]string
	}{{[]string{"--config", path}, nil}, {nil, map[string]string{"ZERO_CONFIG": path}}} {
		v := newValues()
		if _, err := load(t, v, give.args, give.env, "addr: default-file\n"); err != nil || v.addr != "other" {
			t.Errorf("%+v: addr %q, %v", give, v.addr, err)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	const secret = "hunter2"
	v := newValues()
	set, err := load(t, v, []string{"--token", secret}, nil, "")
	if err != nil || v.token != secret {
		t.Fatalf("token %q, %v", v.token, err)
	}
	for _, s := range set.Settings() {
		if strings.Contains(s.Value, secret) {
			t.Errorf("%s shows the secret", s.Name)
		}
	}
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	if _, err := New("test", []Flag{{Name: "token", Value: &v.token, Secret: true, Usage: "a secret"}}, fs); err != nil {
		t.Fatal(err)
	}
	if usage := fs.FlagUsages(); strings.Contains(usage, secret) {
		t.Errorf("help shows the secret: %s", usage)
	}
}

func TestExampleAndReference(t *testing.T) {
	set, err := load(t, newValues(), nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	var uncommented []string
	for line := range strings.Lines(set.Example()) {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
			line = line[1:]
		}
		uncommented = append(uncommented, line)
	}
	v := newValues()
	v.addr, v.join, v.wait = "changed", nil, 0
	loaded, err := load(t, v, nil, nil, strings.Join(uncommented, ""))
	if err != nil {
		t.Fatalf("the example cannot be read: %v\n%s", err, set.Example())
	}
	for _, s := range loaded.Settings() {
		if s.Name != ConfigFlag && s.Source != FromFile {
			t.Errorf("%s is missing in the example", s.Name)
		}
	}
	for _, f := range newValues().table() {
		if !strings.Contains(set.Reference(), "`"+f.Env()+"`") {
			t.Errorf("%s is missing in the reference", f.Name)
		}
	}
}

func TestTableIsChecked(t *testing.T) {
	var text string
	for _, test := range []struct {
		name  string
		flags []Flag
	}{
		{"name", []Flag{{Name: "Bad_Name", Value: &text, Usage: "x"}}},
		{"twice", []Flag{{Name: "x", Value: &text, Usage: "x"}, {Name: "x", Value: &text, Usage: "x"}}},
		{"config", []Flag{{Name: "config", Value: &text, Usage: "x"}}},
		{"no usage", []Flag{{Name: "x", Value: &text}}},
		{"type", []Flag{{Name: "x", Value: text, Usage: "x"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := New("test", test.flags, pflag.NewFlagSet("test", pflag.ContinueOnError)); !errors.Is(err, ErrTable) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// FuzzParseFile: no file may make the reader panic, and what it accepts names
// flags of the table, once each.
func FuzzParseFile(f *testing.F) {
	for _, seed := range []string{"", "addr: x\njoin: [a, b]\n", "addr: |\n  x\n", "a: &b c\nd: *b\n", "<<: {a: b}\n", "---\n---\n", "? [a]\n: b\n", "addr: !!str 1\n", "\tx", "{addr: 1, dev: true}"} {
		f.Add([]byte(seed))
	}
	flags := newValues().table()
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseFile(data, flags)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, e := range entries {
			if seen[e.flag.Name] || e.line < 1 || (!e.list && len(e.values) != 1) {
				t.Errorf("entry %+v", e)
			}
			seen[e.flag.Name] = true
		}
	})
}
