package raft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A request ends a task, so that the state is hashed as of it wherever the
// batches of a replica happen to end; one of an earlier run is not answered, and
// an answer is no request.
func TestRequestEndsATask(t *testing.T) {
	request := func(i Index) Entry { return Entry{Index: i, Type: EntryStateHash} }
	answer := func(i Index) Entry { return Entry{Index: i, Type: EntryStateHash, Data: make([]byte, 16)} }
	command := func(i Index) Entry { return Entry{Index: i} }
	r := &replica{compare: comparison{after: 2}}
	r.pushCommitted([]Entry{command(1), request(2), command(3), answer(4), request(5), request(6), command(7)})
	type part struct {
		first, last Index
		hash        bool
	}
	var parts []part
	for _, task := range r.apply.tasks {
		parts = append(parts, part{task.entries[0].Index, task.entries[len(task.entries)-1].Index, task.hash})
	}
	require.Equal(t, []part{{1, 5, true}, {6, 6, true}, {7, 7, false}}, parts)
}

// A replica whose proposals are at their bound neither asks nor answers. What it
// has proposed by itself is in the account until it ends.
func TestStateHashHasABound(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) { cfg.MaxEntryBytes, cfg.MaxPendingBytes = 100, 1000 })
	leader := c.elect()
	for i := 0; leader.propose(fmt.Sprint(i)).err == nil; i++ {
	}
	require.False(t, leader.r.proposeStateHash(nil))
	c.settle()
	require.Zero(t, leader.r.proposals.bytes)
	require.True(t, leader.r.proposeStateHash(nil))
	require.Equal(t, proposalOverhead, leader.r.proposals.bytes)
	leader.tick()
	c.settle()
	require.Zero(t, leader.r.proposals.bytes)
	require.Equal(t, EntryStateHash, leader.disk.entry(leader.r.core.Last()).Type)
}
