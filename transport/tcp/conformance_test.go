package tcp

import (
	"testing"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/transporttest"
)

// conformance is how the suite opens transports with some options.
func conformance(options func(testing.TB) Options) transporttest.Options {
	const queueBytes = 4 << 20
	return transporttest.Options{
		QueueBytes: queueBytes,
		New: func(t testing.TB) *transporttest.Network {
			opts := options(t)
			opts.QueueBytes = queueBytes
			return &transporttest.Network{Open: func(_ raft.NodeID, address string) (raft.Transport, string, error) {
				if address == "" {
					address = "127.0.0.1:0"
				}
				transport, err := Listen(address, opts)
				if err != nil {
					return nil, "", err
				}
				return transport, transport.Addr().String(), nil
			}}
		},
	}
}

func TestConformance(t *testing.T) {
	transporttest.Run(t, conformance(func(testing.TB) Options { return Options{PeerTimeout: minPeerTimeout} }))
}

func TestConformanceWithTLS(t *testing.T) {
	ca := newAuthority(t)
	transporttest.Run(t, conformance(func(t testing.TB) Options {
		return Options{PeerTimeout: minPeerTimeout, TLS: ca.config(t)}
	}))
}
