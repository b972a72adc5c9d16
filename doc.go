// Package raft replicates a service with the Raft consensus algorithm: its
// commands are durable on a majority of a cluster's nodes before they are
// acknowledged, every node applies the same commands in the same order, and
// reads are linearizable. A cluster of 2f+1 nodes works while at most f of them
// are down.
//
// # A service
//
// A service implements StateMachine: Apply executes commands, Snapshot and
// Restore save and replace the state. It opens a Storage, usually that of
// package storage/wal, and a Transport, usually that of package transport/tcp,
// and calls Start with a state machine that is still empty. The Example below
// is a whole service; examples/kv in the repository is a larger one.
//
// Commands are bytes that the service encodes as it likes. Node.Propose
// replicates one and returns its result, of the type R that the service chose,
// once it is applied on this node; results do not cross the network. Any node
// takes commands: one that does not lead forwards them. A read needs no command:
// after Node.ReadBarrier, this node's state holds everything that was
// acknowledged anywhere before the call, so that reading it locally is
// linearizable. Without the barrier a read may see an old state.
//
// Every founding member is started with the same list of members,
// Config.Bootstrap, which is used where the storage is empty. A node that
// restarts finds in its storage what it was. The opener of storage and
// transport closes them, after Node.Close.
//
// # Outcomes of a proposal
//
// Propose returns nil and the result when the command is committed and applied
// here. Its errors say what became of the command, and work with errors.Is:
//
//	ErrNotCommitted    definitely not committed, and never will be: it may be proposed again
//	ErrOverloaded      not taken, a bound on memory is reached: try again later
//	ErrTooLarge        not taken, larger than Config.MaxEntryBytes
//	ErrClosed          not taken, this node is closed
//	ErrStopped         not taken, this node's storage or state machine has failed
//	ErrOutcomeUnknown  may be committed, or may be later; this node cannot know
//
// ErrNotCommitted and ErrOutcomeUnknown wrap their cause, such as ErrClosed or
// the context's error, so they are to be asked for first. While no leader is
// known a proposal waits, until its context ends.
//
// After ErrOutcomeUnknown, repeat only what may take effect twice, such as
// setting a key to the only value that it will ever have, or what the state
// machine recognizes, such as a compare-and-swap. Or use package session, whose
// clients repeat anything, on any node, and have it applied once.
//
// # Marked storage
//
// Raft's safety rests on nodes that remember: a node that forgets its vote may
// elect two leaders in a term, one that forgets entries may lose what was
// acknowledged. A disk that was replaced, a volume that was restored empty, and
// one that lied about what it had made durable, all forget. So storage that is
// empty, or whose log as it was found at the start ends below what the leader
// knows this node to have held, is marked. A replica with marked storage stores
// and applies entries but does not vote, and counts in no quorum. The mark goes
// once the replica durably holds an entry that was appended after its leader
// had heard of the mark, and that was committed without counting this replica:
// from then on, it holds all that it may ever have acknowledged. Status.Marked
// shows the mark. The founding members of a cluster, which start with nothing
// but Config.Bootstrap, lose it with their first vote.
//
// A founding member that had no part in the first election keeps its mark until
// the others have committed an entry without it. If one of those that voted is
// lost for good before that, the group cannot elect until it is back: the
// member that never voted cannot be told from one that lost its storage. So take
// none away from a new cluster before its leader's Status.Peers shows no mark,
// which is a matter of a few heartbeats.
//
// So a member whose storage is lost is started again without Bootstrap, with
// the same ID and with Config.Cluster, and recovers by itself, as long as a
// majority of unmarked members is there.
//
// This does not cover a volume that is lost while another founding member has
// never held an entry, or at a time when the members of the Bootstrap list
// could by themselves elect a leader against the current membership, if the
// member that lost it is started with Bootstrap again. Hence Bootstrap is for
// the first start only. Nor does it cover storage that came back in an older
// state, such as a restored backup of the directory, of which the leader did
// not know that more was there, nor the loss of a majority's storage at once.
//
// # Reads
//
// Node.ReadBarrier costs a round of messages, shared by all who wait, and rests
// on no clock. Node.LeaseRead costs none on the leader, if the group has leases
// (SetLease) and the leader a Clock whose error is bounded; without them it is a
// ReadBarrier. Leases delay what follows the failure of a leader: see SetLease.
// Node.StaleRead, on any node, sees all that was acknowledged longer than a given
// time ago, and mostly costs nothing. A table of what each costs and guarantees
// is docs/reads.md in the repository.
//
// # Members
//
// Node.ChangeMembership adds, removes, promotes and demotes any number of
// members at once, and gives them other addresses. A change of voters goes
// through joint consensus (§6 of the paper), so that at no moment two
// majorities decide apart from each other, and whoever is to vote catches up as
// a learner first. The membership, addresses included, is part of the log: a
// node that joins is started without Bootstrap, with Config.Cluster, and learns
// of its peers as soon as the leader has added it.
//
// A node that was removed is told so, by the leader or, when it is back, by
// whomever it asks for a vote; then it ends, with ErrRemoved. A leader that
// removes itself hands over when the change is done.
//
// Each voter has an election priority, SetPriority, by which the operator wishes
// where the leader should be: it moves there by itself, where it can.
//
// Node.TransferLeadership hands leadership over to a member that has all of the
// log, within an election timeout. Node.Close does it by itself.
//
// # Backups
//
// Node.ExportSnapshot writes a backup to a file, and ImportSnapshot puts it into
// the empty storage of each founding member of a new cluster, which then starts
// with what was in it. A backup serves to found a cluster, and for nothing else:
// a member that loses its storage is started empty, see above.
//
// # What can be observed
//
// Whatever happens to a node that its operator may want to know is an Event,
// which Config.OnEvent receives in order; Config.Logger writes the same events
// as log lines, and there are no others. Node.Status is the replica's state at
// one moment, on a leader with what it knows of every other member: how far
// each is, what is on the way to it, when it was heard from. Node.Metrics are
// counters, gauges and histograms with stable names and units, for an adapter
// to any monitoring system; docs/metrics.md in the repository lists them.
//
// # What must not be done
//
//   - Give two nodes the same ID, or a removed node's ID to another one, ever.
//   - Start a cluster's founding members with different Bootstrap lists, or a
//     member that has lost its storage with any.
//   - Copy a storage directory, or bring back an older copy, for a node that
//     goes on elsewhere or has gone on since.
//   - Let Apply depend on anything but the entries and the state: not on the
//     time, on random numbers, on the order of a map, or on what other nodes
//     do not have.
//   - Return an error from Apply for a command that the service refuses: it
//     stops this replica and, being deterministic, all others. A refusal is a
//     result.
//   - Change an Entry's Data, or keep the slices that Apply is given.
//   - Repeat a command after ErrOutcomeUnknown, unless it may take effect twice
//     or package session sees to it that it does not.
//
// # Other ways in
//
// Raft is the core by itself, without goroutines, locks, clock, disk or
// network, for a host that has its own of these: feed it messages, time and
// what became durable, and do what Ready says.
//
// Package rafttest runs a whole cluster of a service's own state machines in a
// deterministic simulation, for its tests.
//
// Many groups on shared workers are not supported yet.
package raft
