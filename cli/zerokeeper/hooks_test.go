package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const goodHooks = `hooks:
  - name: pager
    on: [switch/before, switch/after, switch/failure]
    url: https://pager.example.net/hook?token=hush
    secret: ${env:ZERO_TEST_HOOK_SECRET}
  - name: vip
    on: [promoting/after]
    program: [/usr/local/sbin/move-vip, --group, orders]
    timeout: 10s
  - name: freeze
    on: [switch/before]
    program: [/usr/local/sbin/may-switch]
    veto: true
`

func TestLoadHooks(t *testing.T) {
	t.Setenv("ZERO_TEST_HOOK_SECRET", "s3cret")
	write := func(content string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), "hooks.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	specs, err := loadHooks(write(goodHooks, 0o640), false)
	if err != nil || len(specs) != 3 || specs[1].Timeout != 10*time.Second || !specs[2].Veto || len(specs[0].On) != 3 || specs[1].Program[2] != "orders" {
		t.Fatalf("%+v, %v", specs, err)
	}
	if secret, err := specs[0].Secret(); err != nil || secret != "s3cret" {
		t.Errorf("secret %q, %v", secret, err)
	}
	if specs, err := loadHooks("", false); err != nil || specs != nil {
		t.Errorf("no file: %v, %v", specs, err)
	}
	for _, test := range []struct {
		name, content string
		mode          os.FileMode
		says          string
	}{
		{"others may write it", goodHooks, 0o602, "others may write"},
		{"the group may write it", goodHooks, 0o660, "others may write"},
		{"empty", "", 0o600, "no hooks"},
		{"unknown key", strings.Replace(goodHooks, "timeout", "time_out", 1), 0o600, "time_out"},
		{"no YAML", "hooks: [", 0o600, ""},
		{"a literal secret", strings.Replace(goodHooks, "${env:ZERO_TEST_HOOK_SECRET}", "s3cret", 1), 0o600, "literal"},
		{"no such secret", strings.Replace(goodHooks, "HOOK_SECRET", "OTHER", 1), 0o600, "secret"},
		{"timeout", strings.Replace(goodHooks, "10s", "10h", 1), 0o600, "at most 30s"},
		{"timeout 0", strings.Replace(goodHooks, "10s", "0s", 1), 0o600, "want a duration"},
		{"event", strings.Replace(goodHooks, "promoting/after", "promoting/during", 1), 0o600, "promoting/during"},
		{"veto too late", strings.Replace(goodHooks, "[switch/before]", "[switch/after]", 1), 0o600, "veto needs"},
		{"twice", strings.Replace(goodHooks, "freeze", "vip", 1), 0o600, "twice"},
		{"too large", goodHooks + strings.Repeat("#\n", maxHooksFile), 0o600, "larger than"},
	} {
		_, err := loadHooks(write(test.content, test.mode), false)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", test.name, err, test.says)
		}
		if err != nil && (strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: a secret is in the error: %v", test.name, err)
		}
	}
	if _, err := loadHooks(filepath.Join(t.TempDir(), "none"), false); err == nil {
		t.Error("a file that is not there")
	}
}
