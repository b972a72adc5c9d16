package modelcheck

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/seed-6281cb22/raft"
)

// nodeSet is a set of nodes by their positions.
type nodeSet uint8

func allNodes(n int) nodeSet { return 1<<n - 1 }

func (s *nodeSet) add(at int) { *s |= 1 << at }

func (s nodeSet) has(at int) bool { return s>>at&1 != 0 }

// renamed returns the set in which the nodes have changed places.
func (s nodeSet) renamed(rename []raft.NodeID) (r nodeSet) {
	for at := range len(rename) - 1 {
		if s.has(at) {
			r.add(int(rename[at+1] - 1))
		}
	}
	return r
}

func (o *Options) founders() int {
	if o.Voters == 0 {
		return o.Nodes
	}
	return o.Voters
}

func foundingMembership(n int) raft.Membership {
	var m raft.Membership
	for i := range n {
		id := raft.NodeID(i + 1)
		m.Members = append(m.Members, raft.Member{ID: id, Address: address(id), Voter: true})
	}
	return m
}

// address is an id in decimal, see bridge.Fingerprint.
func address(id raft.NodeID) string { return strconv.FormatUint(uint64(id), 10) }

// change is what a leader may be asked for.
type change struct {
	asked []raft.Change
	words string
}

// allChanges returns the changes that are tried. With each they hold those in
// which nodes have changed places.
func allChanges(nodes int) []change {
	var all []change
	add := func(words string, asked ...raft.Change) { all = append(all, change{asked, words}) }
	for a := raft.NodeID(1); a <= raft.NodeID(nodes); a++ {
		add(fmt.Sprintf("remove %d", a), raft.Remove(a))
		add(fmt.Sprintf("demote %d", a), raft.Demote(a))
		add(fmt.Sprintf("add %d", a), raft.AddVoter(a, address(a)))
		for b := raft.NodeID(1); b <= raft.NodeID(nodes); b++ {
			if a < b {
				add(fmt.Sprintf("remove %d and %d", a, b), raft.Remove(a), raft.Remove(b))
			}
			if a != b {
				add(fmt.Sprintf("remove %d, add %d", a, b), raft.Remove(a), raft.AddVoter(b, address(b)))
			}
		}
	}
	return all
}

// change asks a leader for a change. Most are impossible, or come too early.
func (s *step) change(c *change) {
	_, err := s.core.ChangeMembership(s.now, c.asked...)
	var impossible *raft.MembershipError
	if err != nil && !errors.As(err, &impossible) && !errors.Is(err, raft.ErrChangePending) && !errors.Is(err, raft.ErrTransferring) {
		s.breaks("change of the membership: %v", err)
	}
}

// transfer asks a leader to transfer leadership.
func (s *step) transfer(to raft.NodeID) {
	err := s.core.TransferLeadership(s.now, to)
	var impossible *raft.MembershipError
	if err != nil && !errors.As(err, &impossible) && !errors.Is(err, raft.ErrTransferring) {
		s.breaks("transfer of leadership: %v", err)
	}
}

// membershipOf describes the membership in an entry: who votes, after a minus
// who did, and after a plus who is to.
func membershipOf(e *raft.Entry) string {
	var m raft.Membership
	if err := m.Unmarshal(e.Data); err != nil {
		return err.Error()
	}
	text := "{"
	for _, member := range m.Members {
		if text != "{" {
			text += " "
		}
		switch {
		case member.Intent != raft.IntentStay:
			text += fmt.Sprintf("+%v:", member.Intent)
		case member.Outgoing && !member.Voter:
			text += "-"
		case !member.Voter:
			text += "~"
		}
		text += fmt.Sprint(member.ID)
	}
	return text + "}"
}
