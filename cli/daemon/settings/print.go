package settings

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// Setting is a value in use.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"` // empty for a secret
	Source Source `json:"source"`
}

// Settings lists the values in use, in the table's order, after Load.
func (s *Set) Settings() []Setting {
	out := make([]Setting, 0, len(s.flags))
	for _, f := range s.flags {
		row := Setting{Name: f.Name, Source: FromDefault}
		if source, ok := s.sources[f.Name]; ok {
			row.Source = source
		}
		if !f.Secret {
			row.Value = plain(s.fs.Lookup(f.Name))
		}
		out = append(out, row)
	}
	return out
}

// Source says what decided the value of a row, after Load.
func (s *Set) Source(name string) Source {
	if source, ok := s.sources[name]; ok {
		return source
	}
	return FromDefault
}

// Example is a settings file in which every key is a comment with its default.
func (s *Set) Example() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Settings of %s: %s.\n", s.program, s.DefaultPath())
	fmt.Fprintf(&b, "# Each key is also a flag (--key) and an environment variable (%sKEY);\n", EnvPrefix)
	b.WriteString("# the flag wins over the environment, and that over this file.\n")
	for _, f := range s.flags {
		if f.Name == ConfigFlag {
			continue
		}
		fmt.Fprintf(&b, "\n# %s\n#%s: %s\n", f.Usage, f.Name, yamlValue(s.fs.Lookup(f.Name)))
	}
	return b.String()
}

// Reference is the table in Markdown, for the documentation.
func (s *Set) Reference() string {
	var b strings.Builder
	b.WriteString("| flag and key | environment | default | what it is |\n| --- | --- | --- | --- |\n")
	for _, f := range s.flags {
		value := s.fs.Lookup(f.Name).DefValue
		if value == "" || value == "[]" {
			value = "–"
		} else {
			value = "`" + value + "`"
		}
		flag := "--" + f.Name
		if f.Short != "" {
			flag = "-" + f.Short + ", " + flag
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", flag, f.Env(), value, strings.ReplaceAll(f.Usage, "|", "\\|"))
	}
	return b.String()
}

// plain is a value without the brackets of a list.
func plain(f *pflag.Flag) string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), ",")
	}
	return f.Value.String()
}

// yamlValue writes a default so that reading it gives the same value.
func yamlValue(f *pflag.Flag) string {
	text := f.DefValue
	if _, ok := f.Value.(pflag.SliceValue); ok {
		items := strings.Split(strings.Trim(text, "[]"), ",")
		if text == "[]" {
			items = nil
		}
		for i, item := range items {
			items[i] = quote(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return quote(text)
}

// quote leaves plain words as they are and quotes the rest.
func quote(text string) string {
	for _, r := range text {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./", r) {
			return fmt.Sprintf("%q", text)
		}
	}
	if text == "" {
		return `""`
	}
	return text
}
