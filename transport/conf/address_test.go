package conf

import "testing"

func TestParseDatasource(t *testing.T) {
	tests := []struct {
		text string
		want Datasource
	}{
		{"10.0.0.1:3306", Datasource{"10.0.0.1:3306", "10.0.0.1", 3306}},
		{"[::1]:3306", Datasource{"[::1]:3306", "::1", 3306}},
		{"[2001:DB8:0:0::1]:1", Datasource{"[2001:db8::1]:1", "2001:db8::1", 1}},
		{"[::ffff:10.0.0.1]:3306", Datasource{"10.0.0.1:3306", "10.0.0.1", 3306}},
		{"DB-1.Example.NET:65535", Datasource{"db-1.example.net:65535", "db-1.example.net", 65535}},
		{"mysql_0.mysql:3306", Datasource{"mysql_0.mysql:3306", "mysql_0.mysql", 3306}},
		{"localhost:3306", Datasource{"localhost:3306", "localhost", 3306}},
		{"3com.example:1", Datasource{"3com.example:1", "3com.example", 1}},
	}
	for _, test := range tests {
		got, err := ParseDatasource(test.text)
		if err != nil || got != test.want {
			t.Errorf("%q: got %+v, %v", test.text, got, err)
		}
	}
	for _, text := range []string{
		"", ":", "a", "a:", ":1", "a:0", "a:65536", "a:-1", "a:+1", "a:01", "a:1x", "::1:1", "[::1]1", "[::1]", "[]:1",
		"[1.2.3.4]:1", "[a]:1", "[fe80::1%eth0]:1", "fe80::1%eth0:1", "0.0.0.0:1", "[::]:1", "224.0.0.1:1", "1.2.3:1",
		"1.2.3.256:1", "a b:1", "-a:1", "a-:1", "a..b:1", ".a:1", "a.:1", "a/b:1", "a@b:1", "é:1", "a\n:1", "10.0.0.1:3306@1",
	} {
		if got, err := ParseDatasource(text); err == nil {
			t.Errorf("%q: accepted as %+v", text, got)
		}
	}
}
