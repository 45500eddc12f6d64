package conf

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sample has, for each key, a line that sets it to something else than the
// base document or the default does. The indentation of schemaDoc is added.
var sample = map[string]string{
	"basic.config_name":                     "other",
	"basic.user":                            "someone",
	"basic.password":                        "${file:/p}",
	"basic.slow_log_time":                   "250ms",
	"basic.push_when_fail":                  "true",
	"stop_service.offline_on_lost_keeper":   "true",
	"stop_service.offline_swh_rejected_num": "7",
	"stop_service.offline_down_host_num":    "2",
	"stop_service.offline_recover":          "false",
	"switch.need_vote":                      "false",
	"switch.vote_approve_ratio":             "60",
	"switch.need_load_check":                "true",
	"switch.safe_load":                      "4.5",
	"switch.need_binlog_check":              "false",
	"switch.safe_binlog_delay":              "1000",
	"switch.binlog_wait_time":               "1",
	"switch.frequency":                      "1h",
	"switch.backend_ping_interval":          "1",
	"switch.backend_ping_count":             "5",
	"switch.drain_timeout":                  "1",
	"switch.fence_timeout":                  "1",
	"switch.hold_timeout":                   "1m",
	"switch.max_held":                       "5",
	"switch.max_held_bytes":                 "2000000",
	"switch.auto_failover":                  "true",
	"switch.policy":                         "available",
	"switch.prefer":                         "10.0.0.1:3306",
	"switch.never":                          "10.0.0.1:3306, 10.0.0.2:3306",
	"switch.safe_lag":                       "0",
	"switch.auto_ack_after":                 "0",
	"switch.failsafe":                       "true",
	"switch.hung_after":                     "1m",
	"host_groups[].name":                    "g2",
	"host_groups[].write":                   "10.0.0.9:3306,10.0.0.8:3306",
	"host_groups[].read":                    "10.0.0.7:3306@3",
	"host_groups[].active_write":            "1",
	"host_groups[].enable_switch":           "false",
	"host_groups[].max_conn":                "3000",
	"host_groups[].init_conn":               "3",
	"host_groups[].user":                    "groupuser",
	"host_groups[].password":                "${env:GP}",
	"users[].name":                          "someone",
	"users[].password":                      "${env:X}",
	"users[].host_group":                    "h",
	"users[].max_connections":               "2",
	"users[].backend_user":                  "mapped",
	"users[].backend_password":              "${env:BP}",
}

// needs are keys that only stand together with another.
var needs = map[string]string{
	"switch.need_load_check":   "switch.safe_load",
	"host_groups[].user":       "host_groups[].password",
	"host_groups[].password":   "host_groups[].user",
	"users[].backend_user":     "users[].backend_password",
	"users[].backend_password": "users[].backend_user",
}

// schemaDoc is a document with values laid over a base.
func schemaDoc(values map[string]string, groupSwitch string) string {
	base := map[string]string{
		"basic.config_name": "c", "basic.user": "u", "basic.password": "${env:P}",
		"stop_service.offline_swh_rejected_num": "3", "switch.vote_approve_ratio": "50",
		"host_groups[].name": "g", "host_groups[].write": "10.0.0.1:3306,10.0.0.2:3306",
		"users[].name": "app", "users[].password": "${env:A}", "users[].host_group": "{g}",
	}
	for path, value := range values {
		base[path] = value
	}
	if base["users[].host_group"] == "{g}" {
		base["users[].host_group"] = base["host_groups[].name"]
	}
	var b strings.Builder
	write := func(section, indent string) {
		for _, key := range schema {
			parent, name := splitPath(key.Path)
			if value, ok := base[key.Path]; ok && parent == section {
				fmt.Fprintf(&b, "%s%s: %s\n", indent, name, value)
			}
		}
	}
	for _, section := range []string{"basic", "stop_service", "switch"} {
		fmt.Fprintf(&b, "%s:\n", section)
		write(section, "  ")
	}
	b.WriteString("host_groups:\n  - name: h\n    write: 10.1.0.1:3306,10.1.0.2:3306\n  -\n")
	write("host_groups[]", "    ")
	b.WriteString(groupSwitch)
	b.WriteString("users:\n  -\n")
	write("users[]", "    ")
	return b.String()
}

// TestEveryKey: each key of the schema is accepted where it is documented, and
// changes the Config.
func TestEveryKey(t *testing.T) {
	base := mustParse(t, schemaDoc(nil, ""))
	for _, key := range Schema() {
		if key.Kind == KindSection || key.Kind == KindList {
			continue
		}
		t.Run(key.Path, func(t *testing.T) {
			value, ok := sample[key.Path]
			if !ok {
				t.Fatal("the test has no sample of this key")
			}
			with := map[string]string{key.Path: value}
			if other := needs[key.Path]; other != "" {
				with[other] = sample[other]
			}
			c := mustParse(t, schemaDoc(with, ""))
			c.digest, c.Warnings = base.digest, base.Warnings
			if reflect.DeepEqual(c, base) {
				t.Error("the key has no effect")
			}
			parent, name := splitPath(key.Path)
			if parent == "switch" {
				override := "    switch:\n      safe_load: 2\n"
				if name != "safe_load" {
					override += "      " + name + ": " + value + "\n"
				}
				c := mustParse(t, schemaDoc(nil, override))
				if c.Switch != base.Switch || c.HostGroups[0].Switch != base.Switch {
					t.Error("an override changed others' rules")
				}
				plain := base.Switch
				plain.SafeLoad = 2
				if got := c.HostGroups[1].Switch; got == base.Switch || name != "safe_load" && got == plain {
					t.Error("the override has no effect")
				}
			}
			if strings.Count(example(t), " "+name+":") == 0 {
				t.Error("testdata/example.yaml does not show the key")
			}
		})
	}
	for path := range sample {
		if _, ok := keyByPath[path]; !ok {
			t.Errorf("%s is not in the schema", path)
		}
	}
}

// TestUnknownKeys: each section refuses a key that it does not know.
func TestUnknownKeys(t *testing.T) {
	for _, section := range []string{"", "basic", "stop_service", "switch", "host_groups[]", "host_groups[].switch", "users[]"} {
		doc := schemaDoc(nil, "    switch:\n      need_vote: true\n")
		var path string
		switch section {
		case "":
			doc, path = doc+"bogus: 1\n", "bogus"
		case "host_groups[]":
			doc, path = strings.Replace(doc, "  -\n    name: g\n", "  -\n    name: g\n    bogus: 1\n", 1), "host_groups[1].bogus"
		case "host_groups[].switch":
			doc, path = strings.Replace(doc, "    switch:\n", "    switch:\n      bogus: 1\n", 1), "host_groups[1].switch.bogus"
		case "users[]":
			doc, path = strings.Replace(doc, "users:\n  -\n", "users:\n  -\n    bogus: 1\n", 1), "users[0].bogus"
		default:
			doc, path = strings.Replace(doc, section+":\n", section+":\n  bogus: 1\n", 1), section+".bogus"
		}
		_, err := Parse([]byte(doc), Options{})
		if err == nil || !strings.Contains(err.Error(), path+": unknown key") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v", path, err)
		}
	}
}

// TestSchemaTexts: every key is documented and its default is in its range.
func TestSchemaTexts(t *testing.T) {
	for _, key := range Schema() {
		if key.Doc == "" || key.Kind == "" || key.Default == "" {
			t.Errorf("%s: %+v", key.Path, key)
		}
		if key.Range == "" && key.Kind != KindSection {
			t.Errorf("%s has no range", key.Path)
		}
		if (key.Kind == KindInteger || key.Kind == KindDuration) && key.Path != "switch.hold_timeout" &&
			(key.preset < key.lowest || key.preset > key.highest) {
			t.Errorf("%s: the default %d is out of range", key.Path, key.preset)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", time.Minute: "1m", time.Hour: "1h", 24 * time.Hour: "24h",
		90 * time.Second: "1m30s", 10 * time.Minute: "10m", time.Hour + time.Second: "1h0m1s",
		250 * time.Millisecond: "250ms", 100 * time.Minute: "1h40m", 20 * time.Hour: "20h",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}
