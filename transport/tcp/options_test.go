package tcp

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

func TestValidateNamesTheField(t *testing.T) {
	good := newAuthority(t).config(t)
	change := func(f func(*tls.Config)) *tls.Config { c := good.Clone(); f(c); return c }
	cases := []struct {
		field string
		opts  Options
	}{
		{"", Options{}},
		{"", Options{TLS: good}},
		{"", Options{TLS: change(func(c *tls.Config) {
			c.ClientAuth = tls.RequireAnyClientCert
			c.VerifyConnection = func(tls.ConnectionState) error { return nil }
		})}},
		{"TLS", Options{TLS: &tls.Config{}}},
		{"TLS", Options{TLS: change(func(c *tls.Config) { c.ClientAuth = tls.NoClientCert })}},
		{"TLS", Options{TLS: change(func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })}},
		{"TLS", Options{TLS: change(func(c *tls.Config) { c.ClientCAs = (*x509.CertPool)(nil) })}},
		{"TLS", Options{TLS: change(func(c *tls.Config) { c.RootCAs = (*x509.CertPool)(nil) })}},
		{"TLS", Options{TLS: change(func(c *tls.Config) { c.InsecureSkipVerify = true })}},
		{"TLS", Options{TLS: change(func(c *tls.Config) { c.MinVersion = tls.VersionTLS11 })}},
		{"TLS", Options{TLS: change(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })}},
		{"TLS", Options{TLS: change(func(c *tls.Config) {
			c.Certificates = nil
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
		})}},
		{"TLSFiles", Options{TLS: good, TLSFiles: &TLSFiles{}}},
		{"VerifyPeer", Options{VerifyPeer: VerifyNodeURI}},
		{"Advertise", Options{Advertise: "no port"}},
		{"Advertise", Options{Advertise: strings.Repeat("a", 255) + ":1"}},
		{"ConnectTimeout", Options{ConnectTimeout: -1}},
		{"PeerTimeout", Options{PeerTimeout: time.Second}},
		{"MaxBackoff", Options{MaxBackoff: time.Millisecond}},
		{"QueueBytes", Options{QueueBytes: -1}},
		{"MaxFrameBytes", Options{MaxFrameBytes: 100}},
		{"MaxSnapshots", Options{MaxSnapshots: -1}},
		{"MaxConnections", Options{MaxConnections: -1}},
		{"MaxHandshakes", Options{MaxHandshakes: 1 << 20}},
	}
	for _, c := range cases {
		err := c.opts.Validate()
		if c.field == "" {
			require.NoError(t, err)
			continue
		}
		var config *raft.ConfigError
		require.ErrorAs(t, err, &config, c.field)
		require.Equal(t, c.field, config.Field)
		_, err = Listen("127.0.0.1:0", c.opts)
		require.ErrorAs(t, err, &config)
	}
	_, err := Listen("127.0.0.1:none", Options{})
	require.ErrorContains(t, err, "cannot listen")
}

func TestBackoff(t *testing.T) {
	b := backoff{max: time.Second}
	for range 3 {
		ceiling := minBackoff
		for range 10 {
			pause := b.pause()
			require.GreaterOrEqual(t, pause, ceiling/2)
			require.LessOrEqual(t, pause, ceiling)
			ceiling = min(2*ceiling, time.Second)
		}
		b.reset()
	}
}
