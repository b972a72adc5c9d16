// Package session makes clients exactly-once: a command that a client proposes
// again, because it does not know what became of it, is applied once, and every
// repeat returns the result of the first (Raft dissertation §6.3).
//
// Without it, raft.ErrOutcomeUnknown leaves a client with a choice between
// doing something twice and not doing it. With it, a client proposes again, for
// as long as it takes, on any node:
//
//	client, err := session.Open(ctx, session.Options{}, node1, node2, node3)
//	…
//	balance, err := client.Propose(ctx, []byte("withdraw 10"))
//
// # Two halves
//
// Machine decorates a service's raft.StateMachine, see New. It is given to
// raft.Start in the service's place, and keeps, as a part of the replicated
// state, a table of sessions: which commands of each have been applied, and with
// what result. The service has to provide a Codec for its results, since they
// are in the table and in snapshots. For a service whose state is durable by
// itself there is DurableMachine, see NewDurable, which stores the table in the
// same transactions.
//
// Client is the other half: it opens a session, numbers the commands, proposes
// each until it knows the outcome, and says which results it does not need any
// more. It runs wherever commands come from: beside a node, or in another
// process whose Proposer is a stub that hands commands to nodes.
//
// # What is guaranteed
//
// A command of a Client is applied at most once, whatever is lost, repeated or
// overtaken, and Propose returns the result of that one time. It ends with nil,
// with an error that is raft.ErrNotCommitted (not applied, and never will be),
// with ErrResultNotKept (applied, but with what result cannot be known any
// more), or with one that is raft.ErrOutcomeUnknown: the latter only if the
// context ended, the session expired or all nodes were closed before an answer.
//
// The guarantee ends with the session, and with the Client: a client process
// that restarts opens a new session, and cannot know what became of the
// commands that it had not heard of.
//
// # Expiry
//
// Sessions of clients that are gone must not stay forever. A session expires,
// on all replicas at the same entry of the log,
//
//   - when there are more than Limits.MaxSessions: the one that was used
//     least recently goes, or
//   - when it has not been used for Limits.TTL of session time.
//
// A command of a session that has expired is refused with ErrExpired and never
// applied: whether it is a repeat can no longer be known.
//
// Session time is the log's own and trusts no wall clock. Every command says
// how long ago, by its client's monotonic clock, its session was opened. So at
// least that much time has passed since the entry that opened it, and session
// time, which is part of the replicated state, moves forward to there. It never
// runs ahead of real time, unless a client's clock does, and it stands still
// while no session is used. It catches up, at once, when a session is used that
// was there before; then those that were used while it was behind have grown
// older than they are. So a client that is idle calls Client.KeepAlive much more
// often than TTL: where all use their sessions every tenth of it, none expires
// more than that tenth, and the time that a proposal takes, too early.
//
// # Comparison of states
//
// Where the service is a raft.StateHasher, so is what New and NewDurable return:
// raft.Config.CompareStateEvery then finds a replica whose sessions have
// diverged, as well as one whose service has.
//
// # Limits
//
// What a replica keeps must not depend on how that replica is configured, else
// replicas differ. Therefore limits are not a setting of Machine: a Client
// sends its Limits with the command that opens its session, and those that came
// last are in force, on all replicas from the same entry on. Give all clients
// the same. At most MaxSessions × MaxResultBytes of results are kept.
//
// # Commands without a session
//
// All commands that a Machine is given must come from this package. One that
// needs no session, since it may take effect twice, is wrapped by Plain and
// proposed on the node as usual. Bytes that were not made by this package are
// answered with Malformed, and have no effect; so a service whose log holds
// commands from before it used sessions cannot be given to a Machine.
package session
