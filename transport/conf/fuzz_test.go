package conf

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// fuzzSecret is a password that no check of a name, address or key lets pass,
// so that an error may never show it.
const fuzzSecret = "S3cr3t!Pa55"

func seeds(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "testdata/example.yaml") {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add([]byte(minimal))
}

// FuzzParse: no input makes Parse panic, contradict itself or break what
// Config and Errors promise.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, opts := range []Options{{}, {Dev: true}} {
			c, err := Parse(content, opts)
			again, err2 := Parse(content, opts)
			if !reflect.DeepEqual(c, again) || !reflect.DeepEqual(err, err2) {
				t.Fatal("two results of one document")
			}
			if err != nil {
				checkErrors(t, err)
				continue
			}
			checkConfig(t, c, content)
		}
	})
}

func checkErrors(t *testing.T, err error) {
	t.Helper()
	var list *Errors
	if !errors.As(err, &list) || !errors.Is(err, ErrInvalid) {
		t.Fatalf("%T", err)
	}
	if len(list.Issues) == 0 || len(list.Issues) > MaxErrors || list.More < 0 {
		t.Fatalf("%d issues, %d more", len(list.Issues), list.More)
	}
	for i, issue := range list.Issues {
		if issue.Line < 1 || issue.Column < 1 || issue.Msg == "" || !isPrintable(issue.String()) {
			t.Fatalf("issue %+v", issue)
		}
		if i > 0 && issue.Line < list.Issues[i-1].Line {
			t.Fatal("not in order")
		}
	}
}

func checkConfig(t *testing.T, c *Config, content []byte) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"configId": "999999999999999.9.9", "content": string(content)})
	if err != nil || len(body) > 512<<10 {
		t.Fatalf("the body of a PushConfig has %d bytes, %v", len(body), err)
	}
	if !validName(c.Name) || len(c.HostGroups) == 0 || c.SlowLogTime <= 0 {
		t.Fatalf("%+v", c)
	}
	servers := map[string]string{}
	for _, g := range c.HostGroups {
		if !validName(g.Name) || len(g.Write) == 0 || g.ActiveWrite >= len(g.Write) || g.InitConn > g.MaxConn || g.User == "" {
			t.Fatalf("%+v", g)
		}
		s := g.Switch
		if s.HoldTimeout <= s.mustOutlast() || s.MaxHeld < 1 || s.MaxHeldBytes < 1 || s.PingCount < 1 || s.PingInterval <= 0 || s.NeedLoadCheck && s.SafeLoad <= 0 {
			t.Fatalf("%+v", s)
		}
		list := g.Write
		for _, r := range g.Read {
			if r.Weight < 1 || r.Weight > maxWeight {
				t.Fatalf("%+v", r)
			}
			list = append(list[:len(list):len(list)], r.Datasource)
		}
		for _, ds := range list {
			if owner, ok := servers[ds.Address]; ok && owner != g.Name {
				t.Fatalf("%s is in %s and %s", ds.Address, owner, g.Name)
			}
			servers[ds.Address] = g.Name
			if back, err := ParseDatasource(ds.Address); err != nil || back != ds {
				t.Fatalf("%+v reads back as %+v, %v", ds, back, err)
			}
		}
	}
	for _, u := range c.Users {
		if _, ok := c.HostGroup(u.HostGroup); !ok || u.Name == "" || u.BackendUser == "" || u.MaxConnections < 1 {
			t.Fatalf("%+v", u)
		}
	}
}

// FuzzNoSecretInErrors: whatever stands around a literal password, no error
// shows it.
func FuzzNoSecretInErrors(f *testing.F) {
	f.Add([]byte("basic:\n  config_name: c\n  password: "), []byte("\nhost_groups: []\n"))
	f.Add([]byte("users:\n  - name: app\n    password:"), []byte("\n    host_group: g\n"))
	f.Add([]byte("users: [{name: a, password: \""), []byte("\\q\"}]\n"))
	f.Add([]byte("users: [{name: a, password: |"), []byte("\n"))
	f.Add([]byte("host_groups:\n- name: "), []byte("\n  write: 10.0.0.1:3306\n"))
	f.Add([]byte("a: &"), []byte(" b\n"))
	f.Add([]byte("a: !"), []byte(" b\n"))
	f.Add([]byte("%YAML "), []byte("\n---\n"))
	f.Add([]byte(strings.Split(minimal, "${env:A}")[0]), []byte(strings.Split(minimal, "${env:A}")[1]))
	f.Fuzz(func(t *testing.T, head, tail []byte) {
		content := bytes.Join([][]byte{head, []byte(fuzzSecret), tail}, nil)
		for _, opts := range []Options{{}, {Dev: true}} {
			c, err := Parse(content, opts)
			if err != nil && strings.Contains(err.Error(), fuzzSecret) {
				t.Fatalf("%v", err)
			}
			if c != nil {
				for _, w := range c.Warnings {
					if strings.Contains(w.String(), fuzzSecret) {
						t.Fatalf("%v", w)
					}
				}
			}
		}
	})
}

// FuzzParseDatasource: what is accepted is canonical.
func FuzzParseDatasource(f *testing.F) {
	for _, s := range []string{"10.0.0.1:3306", "[::1]:1", "[::ffff:1.2.3.4]:5", "DB.Example:65535", "a_b:1", "1.2.3:4", "[fe80::1%1]:1", "x:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ds, err := ParseDatasource(s)
		if err != nil {
			return
		}
		if back, err := ParseDatasource(ds.Address); err != nil || back != ds {
			t.Fatalf("%q is %+v, which reads back as %+v, %v", s, ds, back, err)
		}
	})
}

// FuzzParseVersion: what is accepted prints as it was.
func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"1.0.0", "0.0.0", "12.9.9", "01.0.0", "1.0", "1.0.0.0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVersion(s)
		if err == nil && (v.String() != s || v.NextEdit().Compare(v) != 1 || v.NextFull().Compare(v) != 1) {
			t.Fatalf("%q is %v", s, v)
		}
	})
}
