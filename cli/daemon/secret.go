package daemon

import (
	"os"

	"github.com/spf13/pflag"

	"github.com/zerokeeper/zero/transport/conf"
)

// Secret is the value of a flag that names a password: ${file:/path} or
// ${env:NAME}. A literal is taken too, and refused by Resolve without dev; it is
// never printed. Use a *Secret as settings.Flag.Value.
type Secret struct{ ref conf.Ref }

var _ pflag.Value = (*Secret)(nil)

// NewSecret is a Secret with a default.
func NewSecret(ref string) Secret { return Secret{ref: conf.Ref(ref)} }

// Set takes a reference and checks its form.
func (s *Secret) Set(ref string) error {
	anything := func(string) ([]byte, error) { return []byte("x"), nil }
	isSet := func(string) (string, bool) { return "x", true }
	if _, err := conf.ResolveSecret(ref, anything, isSet, true); err != nil {
		return err
	}
	s.ref = conf.Ref(ref)
	return nil
}

// String is the reference, "[redacted]" for a literal, empty for none.
func (s *Secret) String() string {
	if s.ref == "" {
		return ""
	}
	return s.ref.String()
}

// Type is what help calls the value.
func (s *Secret) Type() string { return "${file:/path}" }

// Given reports whether there is a reference.
func (s *Secret) Given() bool { return s.ref != "" }

// Resolve reads the secret: now, so that a file that was changed counts. dev
// allows a literal. The errors are conf.ResolveSecret's and hold no secret.
func (s *Secret) Resolve(dev bool) (conf.Secret, error) {
	return s.ref.Resolve(os.ReadFile, os.LookupEnv, dev)
}
