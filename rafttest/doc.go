// Package rafttest runs a whole cluster, everything above the operating system,
// in one goroutine and in virtual time: the state machines of its user, the
// replicas, the write-ahead log and the framing of the transport that ship, over
// simulated disks, networks and clocks. An hour passes in seconds, nothing
// sleeps, and the same seed does the same again.
//
// There are two ways to use it. A unit test drives a Cluster by hand:
//
//	c := rafttest.New(t, 3)
//	c.Elect(1)
//	c.Partition(1)     // the leader is cut off
//	c.Propose("a")     // the others elect another one
//	c.Heal()
//	c.RequireConsistent()
//
// NewCluster does the same with state machines of the user's own. Nothing goes
// wrong there but what the test asks for.
//
// Simulate runs state machines of the user's own through many random runs. Each
// draws its configuration, its faults and their strength from a seed: messages
// are lost, repeated, reordered and damaged, partitions come and go, processes
// pause, are killed and lose power in the middle of any system call, disks
// hang, fail, fill up, flip bits and are lost, memory flips bits, clocks drift and
// jump, and nodes are upgraded one by one. All the while members are added,
// promoted, demoted, moved, replaced and removed, lead by turns, close and come
// back. When the faults stop, the cluster must come back.
//
// # What is checked
//
// After every event, on the inner state of each node: the rules of Raft, that
// what a node reveals is durable, and that what is durable stays (see DESIGN.md,
// section 5). Of the state machines: that all apply the same commands in one
// order, each once, with the same results, and are equal at the end. Of the
// calls: that each tells the truth, that all answers together are linearizable,
// those of lease reads among them, and that stale reads are not too old. In the
// end: that a leader is elected in bounded time, a voter of the highest priority
// leads, a change of the membership comes to its end, who was removed has ended
// with ErrRemoved or is silent, every call ends, and nothing is left behind.
//
// # When a run fails
//
// The message has the seed and the command that runs it again. The run is then
// reduced: of all that was left to chance, what does not matter is taken back,
// and what remains is shown, with what happened last on each node. The reduced
// run is left in a file, which the variable RAFTTEST_TAPE runs again. If it is
// the answers that are wrong, a page of HTML shows them.
//
// # What is not simulated
//
// Goroutines: a node does one thing at a time. Races are for the race detector,
// and a real network for a test over package transport/tcp. Power losses keep
// any part of what was not synced, by files and sectors, and never what was
// never written. Damage to a disk hits one sector at a time, on a minority of
// the nodes, once the write-ahead log has stated that its last batch is
// durable: before that it promises nothing (see package wal).
package rafttest
