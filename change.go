package raft

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// A Change is one part of a change of the membership, see
// Node.ChangeMembership. The functions below make them.
type Change struct {
	kind    changeKind
	id      NodeID
	address string
	lease   time.Duration

	priority uint32
}

type changeKind uint8

const (
	changeNone changeKind = iota
	changeAddVoter
	changeAddLearner
	changePromote
	changeDemote
	changeRemove
	changeAddress
	changeLease
	changePriority
)

// AddVoter adds a member that votes. It enters as a learner, and becomes a
// voter once it has caught up with the log, so that it never holds up commits
// that it cannot take part in yet. The same for one that is a learner already,
// whose address is as before if address is empty.
//
// An id must be new: one that a group has ever had must not come back with an
// empty storage, unless its member was removed before.
func AddVoter(id NodeID, address string) Change {
	return Change{kind: changeAddVoter, id: id, address: address}
}

// AddLearner adds a member that receives the log and does not vote.
func AddLearner(id NodeID, address string) Change {
	return Change{kind: changeAddLearner, id: id, address: address}
}

// PromoteWhenCaughtUp makes a voter of a learner once it has caught up with
// the log.
func PromoteWhenCaughtUp(id NodeID) Change { return Change{kind: changePromote, id: id} }

// Demote makes a learner of a voter.
func Demote(id NodeID) Change { return Change{kind: changeDemote, id: id} }

// Remove removes a member.
func Remove(id NodeID) Change { return Change{kind: changeRemove, id: id} }

// SetAddress gives a member another address.
func SetAddress(id NodeID, address string) Change {
	return Change{kind: changeAddress, id: id, address: address}
}

// SetLease gives the leases of the group another length, from 0, which is none
// and what a group begins with, to MaxLease. Leases make reads on the leader
// cheap, see Node.LeaseRead, and delay what follows its failure: a new leader
// commits nothing, and so acknowledges nothing and serves no ReadBarrier, before
// the leases of those before it have ended. That is at most the length of a
// lease after the last entry of the old leader, if the clocks of both are sure
// of the time, and after the election if not. So a lease should last for many
// round trips, and no longer than the group can do without: the election timeout
// is a good choice.
//
// All members must have a monotonic clock that gains on true time by no more
// than a 64th, whether or not they have a Clock.
func SetLease(length time.Duration) Change { return Change{kind: changeLease, lease: length} }

// SetPriority gives a member another election priority; 0 is the default. Of the
// voters that are reachable and have caught up, one with the highest should
// lead: a leader with a lower one hands over to it after four election timeouts,
// and others wait a little longer before they campaign. It is a wish that safety
// never depends on, and liveness neither: where who is preferred cannot lead,
// another one does, after half an election timeout more at most.
func SetPriority(id NodeID, priority uint32) Change {
	return Change{kind: changePriority, id: id, priority: priority}
}

// MembershipError says why a change of the membership is refused. Nothing has
// changed.
type MembershipError struct {
	Node   NodeID // that the change speaks of, 0: none
	Reason string
}

func (e *MembershipError) Error() string {
	if e.Node == 0 {
		return "raft: membership: " + e.Reason
	}
	return fmt.Sprintf("raft: membership: node %d %s", e.Node, e.Reason)
}

// ChangeMembership begins to change the membership by all of changes at once,
// and returns the index of the first of the entries that this takes. Where the
// changes touch no voter they are in force with that entry. Else those that
// are to vote first catch up, as learners; then voters change, through joint
// consensus (§6), which the leader, or one that succeeds it, leaves by itself.
// The end of it is a membership, committed, in which nobody has an Intent and
// nobody is Outgoing.
//
// One change at a time: a change is refused while the last one is not committed
// or joint (ErrChangePending). While it waits for somebody to catch up, another
// one may come in its place: what it has done stays, and what it still intended
// is forgotten, unless the new one says it again.
//
// Errors: ErrNotLeader, ErrTransferring, ErrChangePending (also before the
// leader has committed an entry of its own term: before that it does not know
// whether a change is under way), a *MembershipError when the change is
// impossible or none, ErrStopped.
func (r *Raft) ChangeMembership(now Instant, changes ...Change) (Index, error) {
	r.advance(now)
	latest := r.members.latest()
	switch {
	case r.err != nil:
		return 0, r.err
	case r.role != Leader:
		return 0, r.notLeader()
	case r.leading.transferee != 0:
		return 0, ErrTransferring
	case r.commit < max(latest.Index, r.leading.first), isJoint(&latest.Membership):
		// "A leader must not begin a change before it has committed an entry
		// of its term": the bug of single-server changes of 2015, which joint
		// consensus has as well.
		return 0, ErrChangePending
	}
	m, err := changed(&latest.Membership, changes)
	if err != nil {
		return 0, err
	}
	r.leading.promotions = nil
	if hasIntent(&m) && !hasPromotion(&m) {
		m = entered(&m)
	}
	r.appendMembership(m)
	return r.log.last, nil
}

// changed returns m with changes applied, those of voters as intents.
func changed(m *Membership, changes []Change) (Membership, error) {
	if len(changes) == 0 {
		return Membership{}, &MembershipError{Reason: "the change is empty"}
	}
	next := m.Clone()
	for i := range next.Members {
		next.Members[i].Intent = IntentStay
	}
	for i := range changes {
		c := &changes[i]
		for _, earlier := range changes[:i] {
			switch {
			case (earlier.kind == changeLease) != (c.kind == changeLease):
			case c.kind == changeLease:
				return Membership{}, &MembershipError{Reason: "the lease is changed twice"}
			case earlier.id == c.id:
				return Membership{}, &MembershipError{c.id, "is changed twice"}
			}
		}
		if reason := c.apply(&next); reason != "" {
			return Membership{}, &MembershipError{c.id, reason}
		}
	}
	slices.SortFunc(next.Members, byID)
	if err := checkChanged(&next); err != nil {
		return Membership{}, err
	}
	if next.Lease == m.Lease && slices.Equal(next.Members, m.Members) {
		return Membership{}, &MembershipError{Reason: "the change changes nothing"}
	}
	return next, nil
}

// apply applies one change, and returns why it cannot be applied, if so.
func (c *Change) apply(m *Membership) (reason string) {
	switch c.kind {
	case changeNone:
		return "has a Change that none of this package's functions has made"
	case changeLease:
		if c.lease < 0 || c.lease > MaxLease {
			return fmt.Sprintf("a lease of %v is not in 0 … %v", c.lease, MaxLease)
		}
		m.Lease = uint64(c.lease)
		return ""
	}
	i := slices.IndexFunc(m.Members, func(member Member) bool { return member.ID == c.id })
	if i < 0 {
		return c.add(m)
	}
	member := &m.Members[i]
	switch c.kind {
	case changeAddLearner:
		return "is a member already"
	case changeAddVoter, changePromote:
		if member.Voter {
			return "is a voter already"
		}
		member.Intent = IntentVoter
		if c.address != "" {
			member.Address = c.address
		}
	case changeDemote:
		if !member.Voter {
			return "is no voter"
		}
		member.Intent = IntentLearner
	case changeRemove:
		if !member.Voter {
			m.Members = slices.Delete(m.Members, i, i+1)
			return ""
		}
		member.Intent = IntentLeave
	case changeAddress:
		member.Address = c.address
	case changePriority:
		member.Priority = c.priority
	}
	return ""
}

// add is apply for a node that is no member.
func (c *Change) add(m *Membership) (reason string) {
	switch c.kind {
	case changeAddVoter:
		m.Members = append(m.Members, Member{ID: c.id, Address: c.address, Intent: IntentVoter})
	case changeAddLearner:
		m.Members = append(m.Members, Member{ID: c.id, Address: c.address})
	default:
		return "is not a member"
	}
	return ""
}

// checkChanged refuses a membership that nobody should ask for. It is stricter
// than checkMembership, which must accept whatever may be in a log.
func checkChanged(m *Membership) error {
	voters := 0
	for i := range m.Members {
		member := &m.Members[i]
		switch {
		case member.ID == 0:
			return &MembershipError{Reason: "node id 0 is nobody's"}
		case member.Address == "":
			return &MembershipError{member.ID, "has no address"}
		case !utf8.ValidString(member.Address):
			return &MembershipError{member.ID, "has an address that is not UTF-8"}
		}
		for _, other := range m.Members[:i] {
			if other.Address == member.Address {
				return &MembershipError{member.ID, fmt.Sprintf("has the address of node %d, %q", other.ID, other.Address)}
			}
		}
		if member.Voter && member.Intent == IntentStay || member.Intent == IntentVoter {
			voters++
		}
	}
	if voters == 0 {
		return &MembershipError{Reason: "no voter would be left"}
	}
	if len(m.Members) > maxMembers {
		return &MembershipError{Reason: fmt.Sprintf("%d members are more than %d", len(m.Members), maxMembers)}
	}
	return nil
}

func isJoint(m *Membership) bool {
	return slices.ContainsFunc(m.Members, func(member Member) bool { return member.Outgoing })
}

func hasIntent(m *Membership) bool {
	return slices.ContainsFunc(m.Members, func(member Member) bool { return member.Intent != IntentStay })
}

func hasPromotion(m *Membership) bool {
	return slices.ContainsFunc(m.Members, func(member Member) bool { return member.Intent == IntentVoter })
}

// entered returns the joint membership that turns m's intents into votes: who
// votes in m is outgoing, who is to vote is incoming.
func entered(m *Membership) Membership {
	joint := m.Clone()
	for i := range joint.Members {
		member := &joint.Members[i]
		member.Outgoing = member.Voter
		switch member.Intent {
		case IntentVoter:
			member.Voter = true
		case IntentLearner:
			member.Voter = false
		case IntentLeave:
			member.Voter, member.Leaving = false, true
		}
		member.Intent = IntentStay
	}
	return joint
}

// left returns the membership that a joint one leads to.
func left(m *Membership) Membership {
	next := m.Clone()
	next.Members = slices.DeleteFunc(next.Members, func(member Member) bool { return member.Leaving })
	for i := range next.Members {
		next.Members[i].Outgoing = false
	}
	return next
}

// advanceMembership goes on with a change of the membership, one entry at a
// time: the next when the last is committed, and one of this leader's term
// (so that a new leader finishes what it finds in its log).
func (r *Raft) advanceMembership() {
	latest := r.members.latest()
	if r.commit < max(latest.Index, r.leading.first) || r.leading.handedOver {
		return
	}
	m := &latest.Membership
	switch {
	case isJoint(m):
		// It bypasses admission, limits and a transfer's refusal: a group
		// must not stay joint.
		r.appendMembership(left(m))
	case !r.members.selfVoter:
		// "The leader steps down once it has committed the Cnew log entry" (§6),
		// whatever is intended beyond that.
		r.leading.resigning = true
		r.heartbeatAll()
	case hasIntent(m):
		if r.leading.transferee == 0 && !r.promotionsPending(m) {
			r.leading.promotions = nil
			r.appendMembership(entered(m))
		}
	}
}

// promotion is how far a learner has come on its way to voting. It has caught
// up when it holds all that the log held at the beginning of a round, in less
// than an election timeout (dissertation §4.2.1): what came since would hold up
// commits for less than that. Rounds go on while it waits for others. The first
// one begins with the entry that says the intent: who holds that had its volume
// then, and one that has lost it is not found out only as a voter, when it might
// be one too many.
type promotion struct {
	id     NodeID
	target Index   // what the log held when the round began
	since  Instant // when it began
	done   bool
}

// promotionsPending reports whether somebody who is to vote has not caught up.
// Nobody votes whose storage is marked.
func (r *Raft) promotionsPending(m *Membership) (pending bool) {
	for i := range m.Members {
		if m.Members[i].Intent == IntentVoter && !r.caughtUp(m.Members[i].ID) {
			pending = true
		}
	}
	return pending
}

func (r *Raft) caughtUp(id NodeID) bool {
	p := r.peer(id)
	if p == nil || p.marked || p.match == 0 {
		return false
	}
	l, timeout := r.leading, r.cfg.ElectionTimeout
	i := slices.IndexFunc(l.promotions, func(q promotion) bool { return q.id == id })
	if i < 0 {
		l.promotions = append(l.promotions, promotion{id: id, target: r.log.last, since: r.now})
		i = len(l.promotions) - 1
	}
	q := &l.promotions[i]
	inTime := r.now < q.since.Add(timeout)
	switch {
	case p.match >= q.target:
		q.done = inTime
		q.target, q.since = r.log.last, r.now
	case !inTime:
		q.done = false // it was, and has fallen behind
	}
	return q.done && r.now < p.contact.Add(timeout)
}
