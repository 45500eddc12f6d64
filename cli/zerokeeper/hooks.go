package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/zerokeeper/zero/cluster/keeper"
	"github.com/zerokeeper/zero/cluster/keeper/hook"
	"github.com/zerokeeper/zero/transport/conf"
)

// maxHooksFile bounds the file of --hooks, in bytes.
const maxHooksFile = 64 << 10

// hooksFile is the file of --hooks.
type hooksFile struct {
	Hooks []hookEntry `yaml:"hooks"`
}

type hookEntry struct {
	Name    string   `yaml:"name"`
	On      []string `yaml:"on"`
	Program []string `yaml:"program"`
	URL     string   `yaml:"url"`
	Secret  string   `yaml:"secret"`  // a reference
	Timeout string   `yaml:"timeout"` // a duration
	Veto    bool     `yaml:"veto"`
}

// loadHooks reads the hooks of this keeper. What the file names is run by the
// keeper, so nobody else may be able to write it.
func loadHooks(path string, dev bool) ([]hook.Spec, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case info.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("%s has the mode %v: others may write it, and what it names is run by this keeper (chmod go-w)", path, info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(file, maxHooksFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxHooksFile {
		return nil, fmt.Errorf("%s is larger than %d bytes; is it the right file?", path, maxHooksFile)
	}
	specs, err := parseHooks(data, dev)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return specs, nil
}

// parseHooks reads the YAML. A panic of its library is an error of the file.
func parseHooks(data []byte, dev bool) (specs []hook.Spec, err error) {
	defer func() {
		if r := recover(); r != nil {
			specs, err = nil, fmt.Errorf("not readable as YAML (%v)", r)
		}
	}()
	var file hooksFile
	if err := yaml.UnmarshalWithOptions(data, &file, yaml.Strict()); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, false)) // without the source: it may hold a URL's token
	}
	if len(file.Hooks) == 0 {
		return nil, errors.New("no hooks: want a list \"hooks:\"")
	}
	for _, e := range file.Hooks {
		spec := hook.Spec{Name: e.Name, On: e.On, Program: e.Program, URL: e.URL, Veto: e.Veto}
		if e.Timeout != "" {
			if spec.Timeout, err = time.ParseDuration(e.Timeout); err != nil || spec.Timeout <= 0 {
				return nil, fmt.Errorf("hook %s: timeout %q: want a duration such as 5s, at most %s", e.Name, e.Timeout, hook.MaxTimeout)
			}
		}
		if e.Secret != "" {
			spec.Secret = func() (string, error) {
				secret, err := conf.ResolveSecret(e.Secret, os.ReadFile, os.LookupEnv, dev)
				return secret.Reveal(), err
			}
			if _, err := spec.Secret(); err != nil {
				return nil, fmt.Errorf("hook %s: secret: %w", e.Name, err)
			}
		}
		specs = append(specs, spec)
	}
	return specs, keeper.ValidateHooks(specs)
}
