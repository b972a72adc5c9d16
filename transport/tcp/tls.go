package tcp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"time"

	"github.com/seed-6281cb22/raft"
)

// security is how a transport uses TLS, both ways.
type security struct {
	fixed  *tls.Config // nil with files
	files  *keyFiles   // nil without
	verify PeerVerifier
}

// newSecurity returns nil for plain TCP.
func newSecurity(o *Options) (*security, error) {
	if o.TLS == nil && o.TLSFiles == nil {
		return nil, nil
	}
	s := &security{verify: o.VerifyPeer}
	if s.verify == nil {
		s.verify = VerifyNodeURI
	}
	if o.TLS != nil {
		s.fixed = o.TLS.Clone()
		return s, nil
	}
	s.files = &keyFiles{paths: *o.TLSFiles, log: o.Logger}
	anybody := func(*tls.Config) error { return nil } // Start will know who this is
	if err := s.files.load(anybody); err != nil {
		return nil, &raft.ConfigError{Field: "TLSFiles", Reason: err.Error()}
	}
	return s, nil
}

// config returns the configuration for the next connection.
func (s *security) config() *tls.Config {
	if s.files != nil {
		return s.files.current.Load()
	}
	return s.fixed
}

// verifyOwn finds out, before its peers do, that a node has another's
// certificate. One that a function will return is not known yet.
func (s *security) verifyOwn(self raft.Identity, c *tls.Config) error {
	if len(c.Certificates) == 0 {
		return nil
	}
	var own []*x509.Certificate
	for _, der := range c.Certificates[0].Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		own = append(own, cert)
	}
	if len(own) == 0 {
		return errors.New("a certificate without content")
	}
	return s.verify(self, tls.ConnectionState{PeerCertificates: own})
}

// client returns the configuration to dial a node with.
//
// crypto/tls cannot verify a certificate without the name of a host. So it is
// told to verify nothing, and all is done in VerifyConnection, which is called
// before this side says who it is.
func (s *security) client(peer raft.Identity) *tls.Config {
	callers := s.config()
	c := callers.Clone()
	harden(c)
	c.InsecureSkipVerify = true
	c.VerifyPeerCertificate = nil
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if err := verifyServer(callers, &state); err != nil {
			return err
		}
		if err := s.verify(peer, state); err != nil {
			return &identityError{err}
		}
		return nil
	}
	return c
}

// verifyServer does what crypto/tls does with c at the dialer's side, except
// that the certificate must be valid for a host only if c names one.
func verifyServer(c *tls.Config, state *tls.ConnectionState) error {
	if !c.InsecureSkipVerify {
		chains, err := verifyChain(state.PeerCertificates, x509.VerifyOptions{
			Roots:       c.RootCAs,
			DNSName:     c.ServerName,
			CurrentTime: timeOf(c),
			KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
		}
		state.VerifiedChains = chains
	}
	if c.VerifyPeerCertificate != nil {
		var raw [][]byte
		for _, cert := range state.PeerCertificates {
			raw = append(raw, cert.Raw)
		}
		if err := c.VerifyPeerCertificate(raw, state.VerifiedChains); err != nil {
			return err
		}
	}
	if c.VerifyConnection != nil {
		return c.VerifyConnection(*state)
	}
	return nil
}

// verifyChain verifies certs[0], with the help of the others.
func verifyChain(certs []*x509.Certificate, opts x509.VerifyOptions) ([][]*x509.Certificate, error) {
	opts.Intermediates = x509.NewCertPool()
	for _, cert := range certs[1:] {
		opts.Intermediates.AddCert(cert)
	}
	return certs[0].Verify(opts)
}

func timeOf(c *tls.Config) time.Time {
	if c.Time != nil {
		return c.Time()
	}
	return time.Now()
}

// server returns the configuration to listen with.
func (s *security) server() *tls.Config {
	base := s.config()
	c := base.Clone()
	harden(c)
	if c.GetConfigForClient == nil {
		return c
	}
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		own, err := base.GetConfigForClient(hello)
		if err != nil {
			return nil, err
		}
		if own == nil {
			own = base
		}
		if err := validateListening(own); err != nil {
			return nil, err
		}
		own = own.Clone()
		harden(own)
		return own, nil
	}
	return c
}

// harden sets what no caller has to think of. A resumed session is not
// verified against the authorities of today, and connections are so few and
// live so long that resumption would gain nothing.
func harden(c *tls.Config) {
	c.SessionTicketsDisabled = true
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS13
	}
}

// validateTLS refuses a configuration with which somebody could be a node
// whom no authority vouches for.
func validateTLS(c *tls.Config) error {
	if err := validateVersions(c); err != nil {
		return err
	}
	switch verifies := c.VerifyConnection != nil || c.VerifyPeerCertificate != nil; {
	case len(c.Certificates) == 0 && c.GetClientCertificate == nil:
		return wrongTLS("has neither Certificates nor GetClientCertificate to dial with")
	case c.InsecureSkipVerify && !verifies:
		return wrongTLS("InsecureSkipVerify without VerifyConnection: anybody could answer in a peer's place")
	case !c.InsecureSkipVerify && c.RootCAs == nil:
		return wrongTLS("RootCAs is nil: any public authority could vouch for a peer")
	case c.GetConfigForClient != nil:
		return nil // what it returns is validated for each connection
	}
	return validateListening(c)
}

func validateVersions(c *tls.Config) error {
	switch {
	case c.MinVersion != 0 && c.MinVersion < tls.VersionTLS12:
		return wrongTLS("MinVersion is below TLS 1.2")
	case c.MaxVersion != 0 && c.MaxVersion < max(c.MinVersion, tls.VersionTLS12),
		c.MaxVersion == tls.VersionTLS12 && c.MinVersion == 0:
		return wrongTLS("MaxVersion is below MinVersion, which is TLS 1.3 unless it is set")
	}
	return nil
}

func validateListening(c *tls.Config) error {
	if err := validateVersions(c); err != nil {
		return err
	}
	verifies := c.VerifyConnection != nil || c.VerifyPeerCertificate != nil
	switch {
	case len(c.Certificates) == 0 && c.GetCertificate == nil:
		return wrongTLS("has neither Certificates nor GetCertificate to listen with")
	case c.ClientAuth == tls.RequireAndVerifyClientCert && c.ClientCAs == nil:
		return wrongTLS("ClientCAs is nil: any public authority could vouch for a peer")
	case c.ClientAuth == tls.RequireAndVerifyClientCert, c.ClientAuth == tls.RequireAnyClientCert && verifies:
		return nil
	}
	return wrongTLS("ClientAuth must be RequireAndVerifyClientCert (or RequireAnyClientCert with VerifyConnection): " +
		"else whoever reaches the port can claim to be any node")
}

func wrongTLS(reason string) error { return &raft.ConfigError{Field: "TLS", Reason: reason} }

// refusedByTLS tells an error of TLS, of either side, from one of the network
// and from bytes that are no TLS.
func refusedByTLS(err error) bool {
	var (
		identity *identityError
		chain    *tls.CertificateVerificationError
		op       *net.OpError // alerts are such, too
		header   tls.RecordHeaderError
		network  net.Error
	)
	switch {
	case errors.As(err, &identity), errors.As(err, &chain):
		return true
	case errors.As(err, &op):
		return op.Op == "remote error" || op.Op == "local error"
	case errors.As(err, &header), errors.As(err, &network):
		return false
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, context.Canceled, errTooManyBytes} {
		if errors.Is(err, end) {
			return false
		}
	}
	return true
}
