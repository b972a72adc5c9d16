package rafttest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/internal/memberchange"
)

// Changes of the membership and transfers of leadership, as calls, and nodes
// that come and go.

// change is what a call of ChangeMembership asks for.
type change struct {
	asked []raft.Change
	drawn []memberchange.Change // the same, if the nemesis has drawn it
	leads *raft.Membership      // about what it leads to, if it was drawn
}

// words says what was drawn.
func (c *change) words() string {
	var b strings.Builder
	for i := range c.drawn {
		d := &c.drawn[i]
		fmt.Fprintf(&b, " (node %d at %q, priority %d, %v)", d.ID, d.Address, d.Priority, d.Intent)
	}
	return b.String()
}

// address is what a node is added with. The network leads to the node whatever
// its address is; in the end all must know the last one.
func address(id raft.NodeID) string { return fmt.Sprintf("node %d", id) }

// changeMembership asks a node for a change of the membership.
func (e *engine) changeMembership(n *node, c change, ended func(*call)) *call {
	return e.begin(&call{n: n, kind: callChange, change: c, ended: ended})
}

// transfer asks a node to transfer leadership to another one, or, with 0, to
// anyone.
func (e *engine) transfer(n *node, to raft.NodeID, ended func(*call)) *call {
	return e.begin(&call{n: n, kind: callTransfer, to: to, ended: ended})
}

// changeEnded: a change that has succeeded is in force.
func (c *calls) changeEnded(open *call) {
	var impossible *raft.MembershipError
	err := open.err
	switch {
	case err == nil:
		c.e.happened["change done"]++
		var v bridge.View
		bridge.Inspect(open.n.replica.Core(), &v)
		if v.Commit < v.MembershipIndex {
			break // that of another change, which has just begun
		}
		for i := range open.change.drawn {
			if !open.change.drawn[i].Holds(v.Membership) {
				c.e.fail("calls", "%s has succeeded, and the membership is %+v", open, v.Membership.Members)
			}
		}
		if !memberchange.Settled(v.Membership) {
			c.e.fail("calls", "%s has succeeded, and the membership is in the midst of a change: %+v", open, v.Membership.Members)
		}
	case errors.As(err, &impossible), errors.Is(err, raft.ErrChangePending), errors.Is(err, raft.ErrTransferring),
		errors.Is(err, raft.ErrNotLeader):
		c.e.happened["change refused"]++
	case isUnknown(err), errors.Is(err, raft.ErrNotCommitted):
		c.e.happened["change failed"]++
	default:
		c.endedWith(open)
	}
}

// transferEnded: leadership that has been transferred is another one's.
func (c *calls) transferEnded(open *call) {
	var impossible *raft.MembershipError
	err := open.err
	switch {
	case err == nil:
		c.e.happened["transfer done"]++
		if leader := open.n.status().Leader; leader == open.n.id || leader == 0 || open.to != 0 && open.to != leader {
			c.e.fail("calls", "%s has succeeded, and node %d leads", open, leader)
		}
	case errors.As(err, &impossible), errors.Is(err, raft.ErrTransferring), errors.Is(err, raft.ErrNotLeader):
		c.e.happened["transfer refused"]++
	case errors.Is(err, raft.ErrTransferFailed):
		c.e.happened["transfer failed"]++
	default:
		c.endedWith(open)
	}
}

// endedWith: what else ends a call about members is the end of its node, or that
// its caller gives up.
func (c *calls) endedWith(open *call) {
	for _, cause := range []error{raft.ErrClosed, raft.ErrRemoved, raft.ErrStopped, errDown, errCrashed, errGivenUp} {
		if errors.Is(open.err, cause) {
			return
		}
	}
	c.e.fail("calls", "%s ends with %v", open, open.err)
}

// membership returns the newest one that is committed.
func (e *engine) membership() *raft.Membership {
	newest := new(raft.Membership)
	for m := range e.checks.rules.InForce {
		newest = m
	}
	return newest
}

// counts reports whether a node is a member in a membership that may be in force.
func (e *engine) counts(n *node) bool {
	for m := range e.checks.rules.InForce {
		if memberchange.Has(m, n.id) {
			return true
		}
	}
	return false
}

// join makes one more node, with empty storage, that waits to be added. It has
// not been started.
func (e *engine) join() *node {
	n := newNode(e, raft.NodeID(len(e.nodes)+1), e.machine)
	n.founder = false
	e.nodes = append(e.nodes, n)
	e.checks.joined()
	return n
}

// removed says that the node has ended because it is no member any more.
func (n *node) removed() bool { return n.up && errors.Is(n.replica.Err(), raft.ErrRemoved) }

// close ends a node as a service does: it hands over if it leads, and stops when
// nothing of it is at work. Then it calls closed.
func (n *node) close(closed func()) {
	n.closing = true
	n.e.transcript.note(n, "closes")
	end := func() {
		n.replica.Close()
		n.whenIdle(func() {
			n.e.transcript.note(n, "has closed")
			n.e.happened["close"]++
			if err := n.log.Close(); err != nil && !n.disk.faulted && !n.dying {
				n.e.fail("storage", "node %d: closing the log: %v", n.id, err)
			}
			if !n.dying {
				n.stop()
				closed()
			}
		})
	}
	leads := n.status().Role == raft.Leader
	if !n.replica.HandOver(func(any, error) {
		if leads && !n.dying && n.status().Role != raft.Leader {
			n.e.happened["hand-over"]++
		}
		n.later(0, end)
	}) {
		n.later(0, end)
	}
}

// whenIdle waits until a replica that has ended is at rest.
func (n *node) whenIdle(do func()) {
	if n.replica.Idle() && !n.syncing {
		do()
		return
	}
	n.later(5*time.Millisecond, func() { n.whenIdle(do) })
}

// settled says that the last change of the membership has come to its end at a
// leader, and is committed.
func (e *engine) settled() bool {
	leader := e.leader()
	if leader == nil {
		return false
	}
	var v bridge.View
	bridge.Inspect(leader.replica.Core(), &v)
	return v.Commit >= v.MembershipIndex && memberchange.Settled(v.Membership)
}

// dismissed says that who runs and is no member has no part in anything: it has
// not heard that it was removed, and waits to be added, or believes so; or it
// campaigns, and all those whom it asks are gone as well, so that nobody is
// disturbed, and nobody can tell it.
func (e *engine) dismissed() bool {
	var v bridge.View
	members := e.membership()
	for _, n := range e.nodes {
		if memberchange.Has(members, n.id) || !n.running() {
			continue
		}
		bridge.Inspect(n.replica.Core(), &v)
		heard := v.Deadline != int64(raft.Never) && slices.ContainsFunc(v.Membership.Members, func(m raft.Member) bool {
			return (m.Voter || m.Outgoing) && memberchange.Has(members, m.ID)
		})
		if v.Removed || heard {
			return false
		}
	}
	return true
}

// checkAddresses: all members know each other's last addresses.
func (e *engine) checkAddresses() {
	members := e.membership().Members
	for i := range members {
		n := e.node(members[i].ID)
		for j := range members {
			if m := &members[j]; i != j && n.peers[m.ID] != m.Address {
				e.fail("addresses", "node %d has %q for node %d, whose address is %q", n.id, n.peers[m.ID], m.ID, m.Address)
			}
		}
	}
}

// sound are the voters whose storage is, if the membership is settled and stays
// so.
func (e *engine) sound() (sound []*node, voters int) {
	members := e.membership()
	for m := range e.checks.rules.InForce {
		if !slices.Equal(m.Members, members.Members) {
			return nil, 0
		}
	}
	pending := slices.ContainsFunc(e.calls.open, func(c *call) bool { return c.kind == callChange })
	if pending || !memberchange.Settled(members) {
		return nil, 0
	}
	for i := range members.Members {
		if !members.Members[i].Voter {
			continue
		}
		voters++
		n := e.node(members.Members[i].ID)
		if k := e.checks.of(n); n.running() && !k.marked && !k.damaged {
			sound = append(sound, n)
		}
	}
	return sound, voters
}
