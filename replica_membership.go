package raft

import (
	"errors"
	"fmt"
	"slices"
)

// Changes of the membership and transfers of leadership, as calls that wait for
// their end.

var (
	errChangeLost     = fmt.Errorf("%w: a later leader's entry is committed instead", ErrNotCommitted)
	errChangeReplaced = fmt.Errorf("%w: another change came in its place before it was done", ErrOutcomeUnknown)
)

// ErrTransferFailed: leadership has not been transferred: the time is over, or
// the target could not lead, or another one leads.
var ErrTransferFailed = errors.New("raft: leadership was not transferred")

// memberCalls are those of this replica that have not ended.
type memberCalls struct {
	changes   []changeCall
	transfers []transferCall
}

// changeCall waits for a change of the membership that began with the entry
// (index, term) of this replica's, or that has not begun.
type changeCall struct {
	future  *future
	index   Index // 0: not begun
	term    Term
	changes []Change
}

// transferCall waits for another leader than the one of term, which is this
// replica.
type transferCall struct {
	future *future
	term   Term
	to     NodeID // 0: anyone
	any    bool   // to have ceased to lead is enough
}

// changeMembership takes a change. An error refuses it.
func (r *replica) changeMembership(now Instant, f *future, changes []Change) error {
	if err := r.refusal(); err != nil {
		return err
	}
	c := changeCall{future: f, changes: slices.Clone(changes)}
	if r.mayChange() {
		if err := r.beginChange(now, &c); err != nil {
			return err
		}
	}
	r.members.changes = append(r.members.changes, c)
	r.settle(now)
	return nil
}

// mayChange reports whether changes can be given to the core. A leader that has
// committed no entry of its term cannot know whether one is under way already,
// but will soon.
func (r *replica) mayChange() bool {
	return r.core.Role() != Leader || r.core.Commit() >= r.core.leading.first
}

// changesWait reports whether beginChanges has something to do.
func (r *replica) changesWait() bool {
	return r.mayChange() && slices.ContainsFunc(r.members.changes, func(c changeCall) bool { return c.index == 0 })
}

// beginChanges begins the changes that have waited for mayChange.
func (r *replica) beginChanges(now Instant) {
	if !r.changesWait() {
		return
	}
	kept := r.members.changes[:0]
	for _, c := range r.members.changes {
		if c.index == 0 {
			if err := r.beginChange(now, &c); err != nil {
				r.complete(c.future, err)
				continue
			}
		}
		kept = append(kept, c)
	}
	clear(r.members.changes[len(kept):])
	r.members.changes = kept
}

func (r *replica) beginChange(now Instant, c *changeCall) (err error) {
	c.index, err = r.core.ChangeMembership(now, c.changes...)
	c.term = r.core.Term()
	return err
}

// transferLeadership begins a transfer. An error refuses it.
func (r *replica) transferLeadership(now Instant, f *future, to NodeID) error {
	if err := r.refusal(); err != nil {
		return err
	}
	return r.transfer(now, transferCall{future: f, term: r.core.Term(), to: to})
}

// handOver begins what comes before the end: nothing more is accepted, and
// leadership goes to another one. It returns false if there is nothing to wait
// for; else f ends within an election timeout.
func (r *replica) handOver(now Instant, f *future) bool {
	if r.refusal() != nil {
		return false
	}
	r.closing = true
	return r.transfer(now, transferCall{future: f, term: r.core.Term(), any: true}) == nil
}

func (r *replica) transfer(now Instant, call transferCall) error {
	if err := r.core.TransferLeadership(now, call.to); err != nil {
		return err
	}
	r.members.transfers = append(r.members.transfers, call)
	r.settle(now)
	return nil
}

// abandonMember gives up a change or a transfer whose caller does not wait any
// longer. It returns false if it has ended already.
func (r *replica) abandonMember(f *future) bool {
	m := &r.members
	n := len(m.changes) + len(m.transfers)
	m.changes = slices.DeleteFunc(m.changes, func(c changeCall) bool { return c.future == f })
	m.transfers = slices.DeleteFunc(m.transfers, func(c transferCall) bool { return c.future == f })
	return len(m.changes)+len(m.transfers) < n
}

// settleMembers ends the calls that have come to their end.
func (r *replica) settleMembers(events []Event) {
	m := &r.members
	if len(m.changes) > 0 {
		m.changes = slices.DeleteFunc(m.changes, func(c changeCall) bool {
			done, err := r.changeEnded(&c)
			if done {
				r.complete(c.future, err)
			}
			return done
		})
	}
	if len(m.transfers) > 0 {
		failed := slices.ContainsFunc(events, func(e Event) bool { return e.Kind == EventTransferFailed })
		m.transfers = slices.DeleteFunc(m.transfers, func(c transferCall) bool {
			done, err := r.transferEnded(&c, failed)
			if done {
				r.complete(c.future, err)
			}
			return done
		})
	}
}

// changeEnded: a change is done with the first committed membership, from its
// first entry on, that is the end of a change.
func (r *replica) changeEnded(c *changeCall) (bool, error) {
	core := r.core
	if c.index == 0 {
		return false, nil
	}
	if core.Commit() < c.index {
		// Terms in a log never decrease: beyond a committed entry of a later
		// term its own cannot come any more, however short the log is.
		term, known := core.log.term(core.Commit())
		return known && term > c.term, errChangeLost
	}
	if term, known := core.log.term(c.index); known && term != c.term {
		return true, errChangeLost
	}
	m := &core.members.committed(core.Commit()).Membership
	switch {
	case isJoint(m) || hasIntent(m):
		return false, nil
	case !slices.ContainsFunc(c.changes, func(change Change) bool { return !change.holds(m) }):
		return true, nil
	}
	return true, errChangeReplaced
}

// holds reports whether m is as the change wanted it.
func (c *Change) holds(m *Membership) bool {
	if c.kind == changeLease {
		return m.Lease == uint64(c.lease)
	}
	i := slices.IndexFunc(m.Members, func(member Member) bool { return member.ID == c.id })
	if i < 0 {
		return c.kind == changeRemove
	}
	member := &m.Members[i]
	switch c.kind {
	case changeAddVoter, changePromote:
		return member.Voter
	case changeAddLearner:
		return true
	case changeDemote:
		return !member.Voter
	case changeAddress:
		return member.Address == c.address
	case changePriority:
		return member.Priority == c.priority
	}
	return false
}

func (r *replica) transferEnded(c *transferCall, failed bool) (bool, error) {
	switch leader := r.core.Leader(); {
	case r.core.Role() != Leader && c.any:
		return true, nil
	case r.core.Role() == Leader && r.core.Term() == c.term && !failed:
		return false, nil
	case leader == 0:
		return false, nil // not known yet
	case leader == r.cfg.ID || c.to != 0 && c.to != leader:
		return true, ErrTransferFailed
	}
	return true, nil
}

// endMembers ends all of them when the replica ends.
func (r *replica) endMembers(cause error) {
	for _, c := range r.members.changes {
		outcome := ErrOutcomeUnknown
		if c.index == 0 {
			outcome = ErrNotCommitted
		}
		r.complete(c.future, fmt.Errorf("%w: %w", outcome, cause))
	}
	for _, c := range r.members.transfers {
		r.complete(c.future, cause)
	}
	r.members = memberCalls{}
}

// refusal is why this replica accepts no more calls, nil if it does.
func (r *replica) refusal() error {
	if r.ended == nil && r.closing {
		return ErrClosed
	}
	return r.ended
}
