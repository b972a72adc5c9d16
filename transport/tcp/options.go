package tcp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// Defaults of Options.
const (
	DefaultConnectTimeout = 3 * time.Second
	DefaultPeerTimeout    = 3 * time.Second
	DefaultMaxBackoff     = time.Second
	DefaultQueueBytes     = 32 << 20
	DefaultMaxFrameBytes  = 64<<20 + 64<<10
	DefaultMaxSnapshots   = 2
	DefaultMaxConnections = 1024
	DefaultMaxHandshakes  = 64
)

// Bounds that are no options.
const (
	minBackoff       = 20 * time.Millisecond // after the first failure
	urgentQueueBytes = 4 << 20               // of votes, heartbeats and the like; QueueBytes if that is less
	writeBytes       = 128 << 10             // at most in one write, which has PeerTimeout
	keptBufferBytes  = 4 << 20               // of send buffers are kept after use,
	idleBufferBytes  = 64 << 10              // and at most so much when nothing is sent
	minPeerTimeout   = 4 * wire.PingInterval // a peer that says something so often is not silent
	minMaxFrameBytes = 64 << 10
)

// Options configure a Transport. The zero value means the defaults.
type Options struct {
	// TLS is mutual TLS, used both to listen and to dial; or else TLSFiles. A
	// copy is made. With neither: plain TCP, see the package comment for what
	// that means.
	//
	// The dialer verifies the other's certificate against RootCAs, and the
	// listener the dialer's against ClientCAs; so ClientAuth must be
	// tls.RequireAndVerifyClientCert. Who needs another way to verify sets
	// InsecureSkipVerify for the dialer, tls.RequireAnyClientCert for the
	// listener, and a VerifyConnection or VerifyPeerCertificate that does it.
	// Names of hosts are not verified, unless ServerName is set, which is
	// then expected in every peer's certificate: VerifyPeer says who is who.
	//
	// MinVersion 0 means TLS 1.3; below 1.2 is refused. Sessions are not
	// resumed.
	//
	// Certificates change without a restart by GetCertificate and
	// GetClientCertificate, and the listener's authorities by
	// GetConfigForClient. For the dialer's authorities crypto/tls has nothing
	// but InsecureSkipVerify with VerifyConnection. TLSFiles does all of it.
	TLS *tls.Config

	// TLSFiles names files with this node's certificate and key and the
	// authorities of the cluster, in place of TLS. They may change while the
	// transport runs.
	TLSFiles *TLSFiles

	// VerifyPeer decides whether a certificate that has been verified belongs
	// to the node that the other side is, or claims to be. Nil:
	// VerifyNodeURI. See also TrustEveryCertificate.
	VerifyPeer PeerVerifier

	// Advertise is the address at which others reach this transport. A node
	// that is not yet in a peer's membership is answered there. Empty: the
	// listener's own; an unspecified host in it ("", "0.0.0.0", "::") stands
	// for the one that the peer sees this node's connections come from.
	Advertise string

	// Dial opens a connection to an address given to SetPeer. It must
	// return when ctx ends. Nil: TCP, by a net.Dialer.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	// ConnectTimeout bounds dialing, TLS and the handshake together, and on
	// the listening side TLS and the handshake.
	// 0: DefaultConnectTimeout.
	ConnectTimeout time.Duration

	// PeerTimeout is how long the other side of a connection may say
	// nothing, or take nothing, before the connection counts as broken. At
	// least 2 s; an idle peer says something every half second. It is also
	// about the time that nodes need to find each other again after a
	// partition, and a connection that takes less than 128 KiB in it is too
	// slow.
	// 0: DefaultPeerTimeout.
	PeerTimeout time.Duration

	// MaxBackoff bounds the time between two attempts to reach a peer. The
	// first one after a failure comes after 10 to 20 ms, each further one
	// after twice that. 0: DefaultMaxBackoff.
	MaxBackoff time.Duration

	// QueueBytes bounds, for each peer, the encoded messages that wait to be
	// sent or are being written, except that one message always fits. What
	// is beyond is dropped. Votes, heartbeats, acknowledgements and the like
	// wait in a queue of their own, of 4 MiB or as much as this if that is
	// less. 0: DefaultQueueBytes.
	QueueBytes int

	// MaxFrameBytes bounds one encoded message, both ways. All nodes should
	// agree on it, and it must leave room for the largest message that the
	// replicas send (Config.MaxMessageBytes or one entry, and its headers).
	// At least 64 KiB. 0: DefaultMaxFrameBytes, enough for one entry of the
	// largest size.
	MaxFrameBytes int

	// MaxSnapshots bounds the snapshots that are received at the same time,
	// and those that are sent: more are refused by the one, and wait at the
	// other. 0: DefaultMaxSnapshots.
	MaxSnapshots int

	// MaxConnections bounds incoming connections that have introduced
	// themselves: each peer needs a few. One more is refused with ErrTooMany.
	// 0: DefaultMaxConnections.
	MaxConnections int

	// MaxHandshakes bounds the incoming connections that have not introduced
	// themselves yet. One more displaces the oldest one of the address, or of
	// the 64 bits of IPv6 address, that has the most of them; or is turned
	// away if that is its own. So all nodes may be behind one address, but
	// none keeps others out. 0: DefaultMaxHandshakes.
	MaxHandshakes int

	// Logger receives what a person who operates the node wants to read:
	// connections made, lost and refused. Nil: nothing is logged.
	Logger *zap.Logger
}

// Validate returns a *raft.ConfigError that names the first wrong field, or
// nil. Listen calls it.
func (o *Options) Validate() error {
	switch {
	case o.TLS != nil && o.TLSFiles != nil:
		return &raft.ConfigError{Field: "TLSFiles", Reason: "must be nil, since TLS is set"}
	case o.TLS == nil && o.TLSFiles == nil && o.VerifyPeer != nil:
		return &raft.ConfigError{Field: "VerifyPeer", Reason: "verifies nothing without TLS or TLSFiles"}
	case o.TLS != nil:
		if err := validateTLS(o.TLS); err != nil {
			return err
		}
	}
	if o.Advertise != "" {
		if _, _, err := net.SplitHostPort(o.Advertise); err != nil {
			return &raft.ConfigError{Field: "Advertise", Reason: err.Error()}
		}
		if len(o.Advertise) > wire.MaxAddressBytes {
			return &raft.ConfigError{Field: "Advertise", Reason: fmt.Sprintf("must be at most %d bytes", wire.MaxAddressBytes)}
		}
	}
	for _, f := range []struct {
		name       string
		value, min time.Duration
	}{
		{"ConnectTimeout", o.ConnectTimeout, time.Millisecond},
		{"PeerTimeout", o.PeerTimeout, minPeerTimeout},
		{"MaxBackoff", o.MaxBackoff, minBackoff},
	} {
		if f.value != 0 && f.value < f.min {
			return &raft.ConfigError{Field: f.name, Reason: fmt.Sprintf("must be at least %v, or 0 for the default; is %v", f.min, f.value)}
		}
	}
	for _, f := range []struct {
		name            string
		value, min, max int
	}{
		{"QueueBytes", o.QueueBytes, 1, 1 << 31},
		{"MaxFrameBytes", o.MaxFrameBytes, minMaxFrameBytes, 1<<31 - 1},
		{"MaxSnapshots", o.MaxSnapshots, 1, 1 << 20},
		{"MaxConnections", o.MaxConnections, 1, 1 << 20},
		{"MaxHandshakes", o.MaxHandshakes, 1, 1 << 10},
	} {
		if f.value != 0 && (f.value < f.min || f.value > f.max) {
			return &raft.ConfigError{Field: f.name, Reason: fmt.Sprintf("must be in %d … %d, or 0 for the default; is %d", f.min, f.max, f.value)}
		}
	}
	return nil
}

// withDefaults returns o with the defaults filled in.
func (o Options) withDefaults() Options {
	setDefault(&o.ConnectTimeout, DefaultConnectTimeout)
	setDefault(&o.PeerTimeout, DefaultPeerTimeout)
	setDefault(&o.MaxBackoff, DefaultMaxBackoff)
	setDefault(&o.QueueBytes, DefaultQueueBytes)
	setDefault(&o.MaxFrameBytes, DefaultMaxFrameBytes)
	setDefault(&o.MaxSnapshots, DefaultMaxSnapshots)
	setDefault(&o.MaxConnections, DefaultMaxConnections)
	setDefault(&o.MaxHandshakes, DefaultMaxHandshakes)
	if o.Dial == nil {
		var d net.Dialer
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", address)
		}
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
