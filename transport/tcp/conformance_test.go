package tcp

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/transporttest"
)

// conformance is how the suite opens transports with some options.
func conformance(options func(testing.TB, raft.NodeID) Options) transporttest.Options {
	const queueBytes = 4 << 20
	return transporttest.Options{
		TCP:        true,
		QueueBytes: queueBytes,
		Silence:    minPeerTimeout,
		New: func(t testing.TB) *transporttest.Network {
			return &transporttest.Network{Open: func(id raft.NodeID, address string) (raft.Transport, string, error) {
				opts := options(t, id)
				opts.QueueBytes, opts.PeerTimeout = queueBytes, minPeerTimeout
				opts.MaxBackoff, opts.ConnectTimeout = minBackoff, time.Second
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
	transporttest.Run(t, conformance(func(testing.TB, raft.NodeID) Options { return Options{} }))
}

func TestConformanceWithTLS(t *testing.T) {
	ca := newAuthority(t)
	transporttest.Run(t, conformance(func(t testing.TB, id raft.NodeID) Options {
		named := func(c *x509.Certificate) {
			for _, cluster := range []string{"transporttest", "another cluster"} {
				c.URIs = append(c.URIs, NodeURI(raft.Identity{Cluster: cluster, Node: id}))
			}
		}
		return Options{TLS: ca.configFor(t, named)}
	}))
}
