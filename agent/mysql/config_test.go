package mysql

import (
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	secret := func() (string, error) { return "x", nil }
	good := Config{Address: "10.0.0.1:3306", User: "u", Password: secret}
	tests := []struct {
		name   string
		change func(*Config)
		want   string // part of the error; empty: none
	}{
		{"minimal", func(*Config) {}, ""},
		{"ipv6", func(c *Config) { c.Address = "[::1]:3306" }, ""},
		{"no address", func(c *Config) { c.Address = "" }, "address"},
		{"no port", func(c *Config) { c.Address = "db1" }, "address"},
		{"port 0", func(c *Config) { c.Address = "db1:0" }, "port"},
		{"no host", func(c *Config) { c.Address = ":3306" }, "no host"},
		{"no user", func(c *Config) { c.User = "" }, "user"},
		{"no password", func(c *Config) { c.Password = nil }, "password"},
		{"half an account", func(c *Config) { c.ReplicationUser = "r" }, "both or neither"},
		{"one account for both", func(c *Config) { c.ReplicationUser, c.ReplicationPassword = "u", secret }, "own"},
		{"TLS settings without TLS", func(c *Config) { c.ReplicationTLS.CA = "/ca" }, "TLS"},
		{"no time", func(c *Config) { c.StatementTimeout = time.Millisecond }, "timeout"},
		{"all the time", func(c *Config) { c.StatementTimeout = time.Hour }, "timeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.change(&c)
			err := c.Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v", err)
			}
			if s, nerr := New(c); (nerr == nil) != (err == nil) {
				t.Errorf("New disagrees: %v", nerr)
			} else if s != nil {
				if s.cfg.StatementTimeout != DefaultStatementTimeout {
					t.Errorf("statement timeout %s", s.cfg.StatementTimeout)
				}
				s.Close()
			}
		})
	}
}
