package raft

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/seed-6281cb22/raft/raftpb"
)

// membershipState is what the log says of the membership. In force is the
// latest one in the log, committed or not (§6); one that is truncated rolls
// back to the one before it.
type membershipState struct {
	// history holds the memberships in the log, ascending by index, from the
	// newest one that is both committed and applied.
	history      []MembershipAt
	selfVoter    bool // in the latest
	selfOutgoing bool // the same
	changing     bool // the latest is not the end of a change, for a leader
	removed      bool // this replica has been told that it is no member any more
	selfPriority uint32
}

func (s *membershipState) reset(snapshot Snapshot, above []MembershipAt) {
	s.history = append([]MembershipAt{{Index: snapshot.MembershipIndex, Membership: snapshot.Membership}}, above...)
}

func (s *membershipState) latest() *MembershipAt { return &s.history[len(s.history)-1] }

// committed returns the newest membership at or below index: with the commit
// index, the last one known to be committed.
func (s *membershipState) committed(index Index) *MembershipAt {
	for i := len(s.history) - 1; i > 0; i-- {
		if s.history[i].Index <= index {
			return &s.history[i]
		}
	}
	return &s.history[0]
}

// forget drops what is older than the newest membership at or below index.
func (s *membershipState) forget(index Index) {
	n := 0
	for n+1 < len(s.history) && s.history[n+1].Index <= index {
		n++
	}
	if n > 0 {
		s.history = slices.Clone(s.history[n:]) // into no more memory than it needs
	}
}

// truncate rolls back the memberships from index on, and reports whether the
// one in force has changed.
func (s *membershipState) truncate(index Index) bool {
	n := len(s.history)
	for n > 1 && s.history[n-1].Index >= index {
		n--
	}
	changed := n != len(s.history)
	s.history = s.history[:n]
	return changed
}

// membershipAppended puts the membership of an entry in force.
func (r *Raft) membershipAppended(e *Entry) {
	m, err := decodeMembership(e.Data)
	if err != nil {
		panic("raft: invariant broken: a membership entry that was not checked: " + err.Error())
	}
	r.members.history = append(r.members.history, MembershipAt{Index: e.Index, Membership: m})
	r.membershipChanged()
}

func (r *Raft) membershipChanged() {
	r.syncPeers()
	r.event(Event{Kind: EventMembership, Index: r.members.latest().Index})
	if r.role == Leader {
		r.checkTransfer()
	}
}

// appendMembership appends an entry that holds m to the leader's log.
func (r *Raft) appendMembership(m Membership) {
	data := m.Append(nil)
	r.appendOwn(Entry{Type: EntryMembership, Data: data, Checksum: raftpb.Checksum(data)})
}

func decodeMembership(data []byte) (Membership, error) {
	var m Membership
	if err := m.Unmarshal(data); err != nil {
		return Membership{}, err
	}
	return m, checkMembership(&m)
}

// maxMembers bounds what a membership, from a caller, a peer or a disk, can
// make a replica allocate.
const maxMembers = 1024

// checkMembership returns an error for a membership that no group can have.
func checkMembership(m *raftpb.Membership) error {
	if len(m.Members) > maxMembers {
		return fmt.Errorf("membership of %d members, more than %d", len(m.Members), maxMembers)
	}
	if m.Lease > uint64(MaxLease) {
		return fmt.Errorf("membership with leases of %d ns, longer than %v", m.Lease, MaxLease)
	}
	voters, intended, joint := 0, 0, isJoint(m)
	for i, member := range m.Members {
		if member.Intent == IntentVoter || member.Intent == IntentStay && member.Voter {
			intended++
		}
		switch {
		case member.ID == 0:
			return errors.New("membership with node id 0")
		case !utf8.ValidString(member.Address):
			return fmt.Errorf("membership in which the address of node %d is not UTF-8", member.ID)
		case i > 0 && member.ID <= m.Members[i-1].ID:
			return fmt.Errorf("membership is not ordered, or holds node %d twice", member.ID)
		case member.Intent > IntentLeave:
			return fmt.Errorf("membership in which node %d has an unknown intent, %d", member.ID, member.Intent)
		case member.Intent != IntentStay && (joint || member.Voter == (member.Intent == IntentVoter)):
			return fmt.Errorf("membership in which node %d cannot have the intent %d", member.ID, member.Intent)
		case member.Leaving && (member.Voter || !member.Outgoing):
			return fmt.Errorf("membership in which node %d leaves without a joint configuration", member.ID)
		case member.Voter:
			voters++
		}
	}
	if voters == 0 || intended == 0 {
		return errors.New("membership without voters")
	}
	return nil
}

func isVoter(m *Membership, id NodeID) bool {
	for i := range m.Members {
		if m.Members[i].ID == id {
			return m.Members[i].Voter || m.Members[i].Outgoing
		}
	}
	return false
}

// convict marks this replica's storage: it has lost what it acknowledged.
func (r *Raft) convict() {
	if r.unmarked {
		r.setHardState(r.term, r.votedFor, false)
	}
}
