package raft

// syncPeers tells the transport who the members are.
func (x *executor) syncPeers() {
	x.peersMu.Lock()
	defer x.peersMu.Unlock()
	x.mu.Lock()
	if x.replica.ended != nil {
		x.mu.Unlock()
		return
	}
	members := x.replica.core.members.latest().Membership.Members
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
