package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/api"
)

// badConfigs: what cannot be right is refused whole, by zeroctl without asking
// anybody and by the keepers all the same, with the line, and nothing changes.
func (s *scene) badConfigs(t *testing.T, ctx context.Context) {
	before := s.versions(t, ctx)
	session := newClient(t, s.Fleet).NewSession()
	place := regexp.MustCompile(`bad\.yaml:\d+:\d+: `)
	for _, test := range []struct{ name, old, new, want string }{
		{"unknown key", "need_vote: true", "need_votes: true", "need_votes"},
		{"literal password", "    password: ${file:", "    password: sesame # ${file:", "a literal password is refused"},
		{"not YAML", "host_groups:\n", "host_groups: [\n", ""},
		{"index out of range", "\nusers:", "\n    active_write: 7\nusers:", "active_write"},
		{"host group twice", "\nusers:", "\n  - name: " + stage.Group + "\n    write: 127.0.0.1:1\nusers:", stage.Group},
		{"sharding", "\nusers:", "\nschema_configs:\n  - x: 1\nusers:", "schema_configs"},
		{"hold shorter than a switch", "hold_timeout: 15s", "hold_timeout: 1s", "hold_timeout"},
		{"wrong type", "frequency: 1s", "frequency: often", "frequency"},
		{"user of no group", "    host_group: " + stage.Group, "    host_group: nowhere", "nowhere"},
		{"empty", s.Config, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			content := s.edited(t, test.old, test.new)
			file := write(t, s.Fleet, "bad.yaml", content)
			for _, command := range []string{"validate", "push"} {
				said := s.ctl(t, ctx, exitBadInput, "config", command, file).Stderr
				has(t, "config "+command, said, test.want, "is not valid")
				if !place.MatchString(said) {
					t.Errorf("config %s names no line:\n%s", command, said)
				}
				if strings.Contains(said, "sesame") {
					t.Errorf("config %s prints the password:\n%s", command, said)
				}
			}
			body, err := json.Marshal(api.ConfigPushRequest{Content: content})
			if err != nil {
				t.Fatal(err)
			}
			_, err = session.Do(ctx, api.ConfigPush, nil, body)
			if code, msg := api.CodeOf(err); code != api.ConfigCheck && code != api.BadYAML && (code != api.ParameterNil || content != "") || !strings.Contains(msg, test.want) {
				t.Errorf("the keeper answers %v, want a refusal that names %q", err, test.want)
			}
		})
	}
	if after := s.versions(t, ctx); len(after) != len(before) || after[0] != before[0] {
		t.Errorf("versions were %v and are %v", before, after)
	}
}

// edited is the live configuration with one change, which must be possible.
func (s *scene) edited(t *testing.T, old, new string) string {
	t.Helper()
	if !strings.Contains(s.Config, old) {
		t.Fatalf("no %q in:\n%s", old, s.Config)
	}
	return strings.Replace(s.Config, old, new, 1)
}

// versions are the ids of the configurations, newest first.
func (s *scene) versions(t *testing.T, ctx context.Context) []string {
	t.Helper()
	var list api.ConfigListAnswer
	zeroctlJSON(t, ctx, s.Fleet, exitOK, &list, "config", "list")
	var ids []string
	for i, c := range list.Configs {
		if c.Live != (i == 0) {
			t.Errorf("version %s: live is %v", c.ConfigID, c.Live)
		}
		ids = append(ids, c.ConfigID)
	}
	return ids
}

// live fails the test unless that version is live, has that content and runs on
// every proxy.
func (s *scene) live(t *testing.T, ctx context.Context, id, content string) api.ConfigShowAnswer {
	t.Helper()
	var shown api.ConfigShowAnswer
	zeroctlJSON(t, ctx, s.Fleet, exitOK, &shown, "config", "show")
	if shown.ConfigID != id || shown.Content != content || !shown.Live {
		t.Fatalf("the live version is %s (live %v), want %s:\n%s", shown.ConfigID, shown.Live, id, shown.Content)
	}
	for _, p := range shown.Proxies {
		if !p.Applied {
			t.Errorf("%s did not apply %s: %s", p.ID, id, p.Error)
		}
	}
	if len(shown.Proxies) != len(s.Proxies) {
		t.Errorf("%d proxies run %s", len(shown.Proxies), id)
	}
	return shown
}

// push pushes a configuration that every proxy must apply.
func (s *scene) push(t *testing.T, ctx context.Context, content string, flags ...string) api.ConfigPushAnswer {
	t.Helper()
	var pushed api.ConfigPushAnswer
	file := write(t, s.Fleet, "pushed.yaml", content)
	zeroctlJSON(t, ctx, s.Fleet, exitOK, &pushed, append([]string{"config", "push", file}, flags...)...)
	s.live(t, ctx, pushed.ConfigID, content)
	return pushed
}

// configs: versions are pushed, compared, shown and taken back; none moves the
// primary.
func (s *scene) configs(t *testing.T, ctx context.Context) {
	first := s.versions(t, ctx)[0]
	primary := s.group(t, ctx).Primary
	content := s.edited(t, "drain_timeout: 2s", "drain_timeout: 1900ms")
	file := write(t, s.Fleet, "new.yaml", content)

	diff := s.ctl(t, ctx, exitOK, "config", "diff", file).Stdout
	has(t, "config diff", diff, "-  drain_timeout: 2s", "+  drain_timeout: 1900ms")
	has(t, "config push", s.ctl(t, ctx, exitOK, "config", "push", file, "--edit", "--comment", "less patience", "--expect", first).Stdout,
		"1.0.1", "live", fmt.Sprintf("%d of %d proxies applied it", len(s.Proxies), len(s.Proxies)))
	if shown := s.live(t, ctx, "1.0.1", content); shown.Comment != "less patience" || shown.Author == "" {
		t.Errorf("config show: comment %q, author %q", shown.Comment, shown.Author)
	}
	has(t, "config diff", s.ctl(t, ctx, exitOK, "config", "diff", first, "live").Stdout, "+  drain_timeout: 1900ms")
	has(t, "config diff", s.ctl(t, ctx, exitOK, "config", "diff", file).Stdout, "are equal")
	if shown := s.ctl(t, ctx, exitOK, "config", "show", first); shown.Stdout != s.Config {
		t.Errorf("config show %s:\n%s", first, shown.Stdout)
	}
	refusal(t, ctx, s.Fleet, exitRefused, int(api.StaleGeneration), "config", "push", file, "--expect", first)

	var back api.ConfigPushAnswer
	zeroctlJSON(t, ctx, s.Fleet, exitOK, &back, "config", "rollback", "--comment", "as before")
	if shown := s.live(t, ctx, back.ConfigID, s.Config); shown.Of != first {
		t.Errorf("the rollback %s is of %q, want %s", shown.ConfigID, shown.Of, first)
	}
	refusal(t, ctx, s.Fleet, exitBadInput, int(api.KeyMissing), "config", "rollback", "99.0.0")

	s.primaryStays(t, ctx, primary)
	if now := s.group(t, ctx).Primary; now != primary {
		t.Errorf("the primary was %s and is %s", primary, now)
	}
}

// primaryStays: the primary is what the last switch said. Another active_write
// is passed over with a warning, other places are followed by address, and a
// push without the primary is refused.
func (s *scene) primaryStays(t *testing.T, ctx context.Context, primary string) {
	t.Helper()
	write3 := fmt.Sprintf("write: %q", strings.Join(s.addresses(), ", "))
	warned := s.push(t, ctx, s.edited(t, write3, write3+"\n    active_write: 2"))
	if text := strings.Join(warned.Warnings, "; "); !strings.Contains(text, "active_write") {
		t.Errorf("a push with another active_write warns of %q", text)
	}
	if g := s.group(t, ctx); g.Writable != 0 || g.Primary != primary {
		t.Errorf("after a push with another active_write the writable is %d, %s", g.Writable, g.Primary)
	}

	a := s.addresses()
	conn := s.client(t, ctx, s.Proxies[0])
	s.push(t, ctx, s.edited(t, write3, fmt.Sprintf("write: %q", strings.Join([]string{a[1], a[0], a[2]}, ", "))))
	if g := s.group(t, ctx); g.Writable != 1 || g.Primary != primary {
		t.Errorf("after the entries changed places the writable is %d, %s", g.Writable, g.Primary)
	}
	s.notes(t, ctx)
	do(t, ctx, conn, insert("entries changed places"))

	gone := write(t, s.Fleet, "gone.yaml", s.edited(t, write3, fmt.Sprintf("write: %q", strings.Join(a[1:], ", "))))
	has(t, "a push without the primary", refusal(t, ctx, s.Fleet, exitBadInput, int(api.ConfigCheck), "config", "push", gone), primary)
	s.push(t, ctx, s.Config)
	s.noted(t, ctx, "entries changed places", 1)
}

// addresses are those of the servers, by index.
func (s *scene) addresses() []string {
	var all []string
	for _, server := range s.Servers {
		all = append(all, server.Addr())
	}
	return all
}

// configRefused: a version that one proxy cannot use is taken back everywhere.
// With push_when_fail it stays, and the proxy keeps what it has.
func (s *scene) configRefused(t *testing.T, ctx context.Context) {
	// Every process finds its own directory there.
	const own = "/proc/self/cwd/app.secret"
	if err := s.giveSecret(s.Proxies[0], "app.secret"); err != nil {
		t.Fatal(err)
	}
	i := strings.LastIndex(s.Config, "${file:")
	content := s.Config[:i] + "${file:" + own + "}\n" + s.Config[strings.LastIndex(s.Config, "    host_group:"):]
	file := write(t, s.Fleet, "refused.yaml", content)
	refuser := s.Proxies[1].Name()

	before := s.versions(t, ctx)
	result := s.ctl(t, ctx, exitRefused, "config", "push", file)
	has(t, "config push", result.Stdout+result.Stderr, "was refused by proxy "+refuser, own, "with the content from before is live", "rolled back")
	after := s.versions(t, ctx)
	if len(after) != len(before)+2 {
		t.Errorf("versions were %v and are %v: want the refused one and its rollback", before, after)
	}
	s.live(t, ctx, after[0], s.Config)
	s.healthy(t, ctx)
	conn := s.client(t, ctx, s.Proxies[1])
	do(t, ctx, conn, insert("after a refused push"))

	file = write(t, s.Fleet, "refused.yaml", strings.Replace(content, "basic:\n", "basic:\n  push_when_fail: true\n", 1))
	result = s.ctl(t, ctx, exitUnhealthy, "config", "push", file)
	has(t, "config push with push_when_fail", result.Stdout+result.Stderr, "is live", "proxy "+refuser, own)
	has(t, "zeroctl status", s.ctl(t, ctx, exitUnhealthy, "status").Stdout, "proxy "+refuser+" refused a configuration")
	for _, p := range s.Proxies {
		if got := value(t, ctx, s.client(t, ctx, p), "SELECT COUNT(*) FROM notes WHERE note = 'after a refused push'"); got != "1" {
			t.Errorf("%s: %s rows", p.Name(), got)
		}
	}
	s.push(t, ctx, s.Config)
}
