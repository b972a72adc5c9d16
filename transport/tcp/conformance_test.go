package tcp

import (
	"crypto/x509"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/transporttest"
)

// conformanceQueue is the QueueBytes of the transports that the suite tests.
const conformanceQueue = 4 << 20

// timely has time limits as short as they may be.
func timely(opts Options) Options {
	opts.QueueBytes, opts.PeerTimeout = conformanceQueue, minPeerTimeout
	opts.MaxBackoff, opts.ConnectTimeout = minBackoff, time.Second
	return opts
}

// overSockets is how the suite opens transports on sockets.
func overSockets(options func(testing.TB, raft.NodeID) Options) transporttest.Options {
	return transporttest.Options{
		TCP:        true,
		Resumes:    true,
		QueueBytes: conformanceQueue,
		New: func(t testing.TB) *transporttest.Network {
			return &transporttest.Network{Open: func(id raft.NodeID, address string) (raft.Transport, string, error) {
				if address == "" {
					address = "127.0.0.1:0"
				}
				transport, err := Listen(address, timely(options(t, id)))
				if err != nil {
					return nil, "", err
				}
				return transport, transport.Addr().String(), nil
			}}
		},
	}
}

// overPipes is how the suite opens transports in virtual time.
func overPipes() transporttest.Options {
	return transporttest.Options{
		QueueBytes: conformanceQueue,
		Silence:    minPeerTimeout,
		New: func(t testing.TB) *transporttest.Network {
			network, opened := newPipes(), 0
			return &transporttest.Network{Open: func(id raft.NodeID, address string) (raft.Transport, string, error) {
				if opened++; address == "" {
					address = fmt.Sprintf("10.0.0.%d:7000", opened)
				}
				return network.listenNode(t, id, address, timely(Options{})).Transport, address, nil
			}}
		},
	}
}

// apart are the checks that wait for time limits, most of the time, or measure
// memory. They are made in virtual time, and with nothing beside them.
var apart = []string{"SnapshotSlow", "SnapshotCancel", "SnapshotClose", "Memory", "SnapshotLarge"}

func conform(t *testing.T, o transporttest.Options) {
	t.Parallel()
	for _, c := range transporttest.Checks() {
		if !slices.Contains(apart, c.Name) {
			t.Run(c.Name, func(t *testing.T) { c.Run(t, o) })
		}
	}
}

func TestConformance(t *testing.T) {
	conform(t, overSockets(func(testing.TB, raft.NodeID) Options { return Options{} }))
}

func TestConformanceWithTLS(t *testing.T) {
	ca := newAuthority(t)
	conform(t, overSockets(func(t testing.TB, id raft.NodeID) Options {
		named := func(c *x509.Certificate) {
			for _, cluster := range []string{transporttest.Cluster, transporttest.OtherCluster} {
				c.URIs = append(c.URIs, NodeURI(raft.Identity{Cluster: cluster, Node: id}))
			}
		}
		return Options{TLS: ca.configFor(t, named)}
	}))
}

func TestConformanceInVirtualTime(t *testing.T) {
	for _, c := range transporttest.Checks() {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.Run(t, overPipes()) })
		})
	}
}
