package raft

import (
	"fmt"

	"go.uber.org/zap"
)

// report logs events, and acts on changes of the membership.
func (x *executor) report(events []Event) {
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case EventRole:
			x.log.Info("role", zap.Stringer("role", e.Role), zap.Uint64("term", uint64(e.Term)), zap.Uint64("leader", uint64(e.Leader)))
		case EventMembership:
			x.log.Info("membership in force", zap.Uint64("index", uint64(e.Index)))
			x.syncPeers()
		case EventFarewell:
			x.syncPeers()
		case EventRemoved:
			x.log.Warn("removed from the group", zap.Uint64("index", uint64(e.Index)))
		case EventTransfer:
			x.log.Info("leadership is being handed over", zap.Uint64("to", uint64(e.Peer)))
		case EventTransferFailed:
			x.log.Warn("leadership was not handed over", zap.Uint64("to", uint64(e.Peer)))
		case EventMarked:
			x.log.Warn("storage mark changed", zap.Uint64("term", uint64(e.Term)))
		case EventSnapshot:
			x.log.Info("snapshot accepted", zap.Uint64("index", uint64(e.Index)))
		case EventIgnored:
			x.reportIgnored(e)
		}
	}
}

// reportIgnored logs the 1st, 2nd, 4th, 8th … message that was ignored.
func (x *executor) reportIgnored(e *Event) {
	if n := x.ignored.Add(1); n&(n-1) == 0 {
		x.log.Info("message ignored", zap.Uint64("from", uint64(e.Peer)), zap.String("reason", e.Reason), zap.Uint64("ignored", n))
	}
}

// syncPeers tells the transport who the members are.
func (x *executor) syncPeers() {
	x.peersMu.Lock()
	defer x.peersMu.Unlock()
	x.mu.Lock()
	if x.replica.ended != nil {
		x.mu.Unlock()
		return
	}
	members := x.replica.core.Status().Membership.Members
	told := x.replica.core.departing()
	x.working++
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		x.working--
		x.unlock()
	}()
	current := make(map[NodeID]string, len(members))
	for _, m := range members {
		if m.ID == x.cfg.ID {
			continue
		}
		current[m.ID] = m.Address
		x.addresses[m.ID] = m.Address
		if x.peers[m.ID] != m.Address {
			x.cfg.Transport.SetPeer(m.ID, m.Address)
		}
	}
	for _, id := range told {
		// Who was a member in this process's time is reached at its last address.
		if address := x.addresses[id]; address != "" && current[id] == "" {
			current[id] = address
			if x.peers[id] != address {
				x.cfg.Transport.SetPeer(id, address)
			}
		}
	}
	for id := range x.peers {
		if _, stays := current[id]; !stays {
			x.cfg.Transport.SetPeer(id, "")
		}
	}
	x.peers = current
}

// String returns the role's name.
func (r Role) String() string {
	switch r {
	case Follower:
		return "follower"
	case PreCandidate:
		return "pre-candidate"
	case Candidate:
		return "candidate"
	case Leader:
		return "leader"
	}
	return fmt.Sprintf("role %d", uint8(r))
}
