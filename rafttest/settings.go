package rafttest

import (
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// settings are what a world is like before anything has gone wrong.
type settings struct {
	nodes        int
	raft         raft.Config // of every node, but for what makes it that node
	network      inmem.Faults
	pace         pace
	segmentBytes int64
	cacheBytes   int    // see wal.Options
	durable      bool   // the state machines are durable by themselves
	maxEvents    uint64 // after which something must be wrong; 0: as many as there are
}

// calm are settings without any chance in them but for the election timeouts:
// a fast network and fast disks.
func calm(nodes int) settings {
	return settings{
		nodes:        nodes,
		network:      inmem.Faults{MinDelay: time.Millisecond, MaxDelay: time.Millisecond},
		pace:         pace{disk: span{time.Millisecond, time.Millisecond}},
		segmentBytes: 64 << 10,
		cacheBytes:   64 << 10,
	}
}
