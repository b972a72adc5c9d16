package tcp

import (
	"errors"
	"fmt"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// Why a handshake failed. A HandshakeError matches one of them by errors.Is.
var (
	ErrVersion        = errors.New("no common protocol version")
	ErrFeature        = errors.New("one node requires a feature that the other lacks")
	ErrCluster        = errors.New("the two nodes belong to different clusters")
	ErrNode           = errors.New("another node than expected")
	ErrNotAllowed     = errors.New("the certificate is not that of the node")
	ErrTLS            = errors.New("TLS was refused")
	ErrTooMany        = errors.New("too many connections or snapshots")
	ErrUnknownPeer    = errors.New("no address is known for the node")
	errRefused        = errors.New("refused for a reason unknown to this version")
	errUnknownPurpose = errors.New("unknown purpose of the connection")
)

// HandshakeError says why two nodes refused each other. Both sides get one:
// the dialer in PeerStatus.Err or from SendSnapshot, both in their logs.
type HandshakeError struct {
	// Reason is ErrVersion, ErrFeature, ErrCluster, ErrNode, ErrNotAllowed,
	// ErrTLS or ErrTooMany, as a rule.
	//
	// TLS has only alerts to say why. So of a certificate that this node
	// refuses, for whatever reason, the other side may learn no more than
	// ErrTLS with "bad certificate".
	Reason error
	// Cause says more: it is what crypto/tls or Options.VerifyPeer returned
	// with an ErrTLS or an ErrNotAllowed. Nil if the other side knows.
	Cause error
	// Dialed is true at the side that dialed.
	Dialed bool
	// Address is the other side's, as dialed or as seen.
	Address string
	// Local and Remote are what the two sides are. Remote is as far as it
	// is known.
	Local, Remote raft.Identity
	// Expected is the node that the dialer expected to find.
	Expected raft.NodeID
	// The protocol versions that the two sides speak, as [lowest, highest].
	LocalVersions, RemoteVersions [2]uint16
	// Missing are the features, a bit each, that one side requires and the
	// other lacks.
	Missing uint64
}

func (e *HandshakeError) Error() string {
	who := "refused a connection from"
	if e.Dialed {
		who = "no connection to"
	}
	text := fmt.Sprintf("raft/tcp: %s %s: %v: ", who, e.Address, e.Reason)
	if e.Reason == ErrTLS {
		return text + e.Cause.Error()
	}
	if e.Cause != nil {
		text += e.Cause.Error() + ": "
	}
	switch e.Reason {
	case ErrVersion:
		return text + fmt.Sprintf("here %d to %d, there %d to %d", e.LocalVersions[0], e.LocalVersions[1], e.RemoteVersions[0], e.RemoteVersions[1])
	case ErrFeature:
		return text + fmt.Sprintf("missing %#x", e.Missing)
	case ErrNode:
		return text + fmt.Sprintf("the dialer expected node %d; here is node %d, there node %d", e.Expected, e.Local.Node, e.Remote.Node)
	}
	return text + fmt.Sprintf("here is node %d of cluster %q, there node %d of cluster %q", e.Local.Node, e.Local.Cluster, e.Remote.Node, e.Remote.Cluster)
}

// Unwrap returns the reason and the cause.
func (e *HandshakeError) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Cause}
}

// reasonOf gives the error for a refusal.
func reasonOf(s wire.Status) error {
	switch s {
	case wire.WrongVersion:
		return ErrVersion
	case wire.NoFeature:
		return ErrFeature
	case wire.WrongCluster:
		return ErrCluster
	case wire.WrongNode, wire.SameNode:
		return ErrNode
	case wire.WrongPurpose:
		return errUnknownPurpose
	case wire.NotAllowed:
		return ErrNotAllowed
	case wire.Busy:
		return ErrTooMany
	}
	return errRefused
}

// SnapshotError says that the receiver of a snapshot, or its handler, did not
// accept it. With Busy it matches ErrTooMany by errors.Is, and may be tried
// again later.
type SnapshotError struct {
	Peer   raft.NodeID
	Busy   bool
	Reason string // the receiver's words
}

func (e *SnapshotError) Error() string {
	return fmt.Sprintf("raft/tcp: node %d did not accept the snapshot: %s", e.Peer, e.Reason)
}

// Is reports that a busy receiver's refusal is an ErrTooMany.
func (e *SnapshotError) Is(target error) bool { return e.Busy && target == ErrTooMany }

// protocolError says that a peer broke the protocol. Its connection is closed.
type protocolError struct {
	reason string
}

func (e *protocolError) Error() string { return "raft/tcp: protocol violation: " + e.reason }
