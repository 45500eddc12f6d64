package mysql

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writeCertificate makes a self-signed certificate for 127.0.0.1 that is its
// own authority: cert.pem and key.pem in dir.
func writeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func TestReplicationTLS(t *testing.T) {
	a, b, _ := servers(t)
	a.exec(t, "SET SESSION sql_log_bin=0; ALTER USER '"+replUser+"'@localhost REQUIRE SSL")
	t.Cleanup(func() { a.exec(t, "SET SESSION sql_log_bin=0; ALTER USER '"+replUser+"'@localhost REQUIRE NONE") })
	b.exec(t, "STOP SLAVE")
	if _, err := b.server(t).Follow(t.Context(), a.source()); !errors.Is(err, ErrReplicationLogin) {
		t.Errorf("without TLS: %v", err)
	}
	secured := func(c *Config) {
		c.ReplicationTLS = ReplicationTLS{Enabled: true, CA: filepath.Join(filepath.Dir(a.dir), "cert.pem"), Verify: true}
	}
	s := b.server(t, secured)
	f := must[Following](t)(s.Follow(t.Context(), a.source()))
	if !f.Replication.TLS {
		t.Errorf("%+v", f.Replication)
	}
	if f = must[Following](t)(s.Follow(t.Context(), a.source())); !f.Already {
		t.Errorf("again: %+v", f)
	}
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b)
	// And the other way round, after a switch.
	a.exec(t, "SET GLOBAL read_only=1")
	promote(t, s)
	must[Following](t)(a.server(t, secured).Follow(t.Context(), b.source()))
	a.exec(t, "SET GLOBAL read_only=1")
}

func TestAgentTLS(t *testing.T) {
	a, _, _ := servers(t)
	pool := x509.NewCertPool()
	cert, err := os.ReadFile(filepath.Join(filepath.Dir(a.dir), "cert.pem"))
	if err != nil || !pool.AppendCertsFromPEM(cert) {
		t.Fatal("no certificate", err)
	}
	s := a.server(t, func(c *Config) {
		c.Socket, c.TLS = "", &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
	})
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	s = a.server(t, func(c *Config) {
		c.Socket, c.TLS = "", &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}
	})
	if err := s.Ping(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a foreign authority: %v", err)
	}
}
