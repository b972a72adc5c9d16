// Package etcd37 has go.etcd.io/raft/v3 v3.7 take part in bench core and bench
// codec. Module bench/etcd36 does the same for v3.6, whose API has values where
// this one has pointers.
package etcd37

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/seed-6281cb22/raft/bench/contest"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Contender is etcd-raft v3.7.
func Contender() contest.Contender {
	return contest.Contender{Cluster: newCluster, Codec: newCodec}
}

// cluster is a group of RawNodes in one goroutine.
type cluster struct {
	nodes    []node
	wire     *wire
	dirty    uint64 // who has had an input since its last Ready
	cut      uint64 // who is cut off
	reads    uint64 // asked for
	answered uint64
	messages uint64
	proposal raftpb.Message
	err      error
}

type node struct {
	core    *raft.RawNode
	storage *raft.MemoryStorage
	leads   bool
	term    uint64
	applied uint64
	index   uint64 // of the last entry applied
}

// start is the index of the snapshot that states the membership.
const start = 1

func newCluster(voters int, w contest.Wire) (contest.Cluster, error) {
	c := &cluster{nodes: make([]node, voters)}
	if w == contest.Encoded {
		c.wire = new(wire)
	}
	members := &raftpb.ConfState{}
	for i := range voters {
		members.Voters = append(members.Voters, uint64(i+1))
	}
	for i := range c.nodes {
		storage := raft.NewMemoryStorage()
		if err := storage.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
			Index: new(uint64(start)), Term: new(uint64(1)), ConfState: members,
		}}); err != nil {
			return nil, err
		}
		core, err := raft.NewRawNode(&raft.Config{
			ID: uint64(i + 1), ElectionTick: 10, HeartbeatTick: 1, Storage: storage,
			MaxSizePerMsg: 512 << 10, MaxInflightMsgs: 256, CheckQuorum: true, PreVote: true, Logger: silent{},
		})
		if err != nil {
			return nil, err
		}
		c.nodes[i] = node{core: core, storage: storage, index: start}
	}
	for c.Leader() < 0 {
		if err := c.Interval(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *cluster) Leader() int {
	leader := -1
	for i := range c.nodes {
		if c.isCut(i) || !c.nodes[i].leads {
			continue
		}
		if leader < 0 || c.nodes[i].term > c.nodes[leader].term {
			leader = i
		}
	}
	return leader
}

func (c *cluster) Propose(to int, data []byte, calls, perCall int) error {
	core := c.nodes[to].core
	for range calls {
		if err := c.propose(core, data, perCall); err != nil {
			return err
		}
	}
	c.dirty |= 1 << to
	return c.settle()
}

// propose uses Propose for one entry, and for more a message, which is reused:
// the core takes copies of what is in it.
func (c *cluster) propose(core *raft.RawNode, data []byte, entries int) error {
	if entries == 1 {
		return core.Propose(data)
	}
	for len(c.proposal.Entries) < entries {
		c.proposal.Entries = append(c.proposal.Entries, new(raftpb.Entry))
	}
	c.proposal.Entries = c.proposal.Entries[:entries]
	for _, e := range c.proposal.Entries {
		e.Data = data
	}
	c.proposal.Type = raftpb.MsgProp.Enum()
	return core.Step(&c.proposal)
}

func (c *cluster) Heartbeat() error {
	leader := c.Leader()
	c.nodes[leader].core.Tick()
	c.dirty |= 1 << leader
	return c.settle()
}

func (c *cluster) Interval() error {
	for i := range c.nodes {
		if !c.isCut(i) {
			c.nodes[i].core.Tick()
			c.dirty |= 1 << i
		}
	}
	return c.settle()
}

func (c *cluster) Read(n int) error {
	leader := c.Leader()
	for range n {
		c.reads++
		c.nodes[leader].core.ReadIndex(binary.LittleEndian.AppendUint64(nil, c.reads)) // kept by the core
	}
	c.dirty |= 1 << leader
	if err := c.settle(); err != nil {
		return err
	}
	if c.answered != c.reads {
		return fmt.Errorf("%d reads answered of %d", c.answered, c.reads)
	}
	return nil
}

func (c *cluster) isCut(i int) bool { return c.cut>>i&1 != 0 }

func (c *cluster) Cut(n int) {
	c.cut |= 1 << n
	for i := range c.nodes {
		if i != n {
			c.nodes[i].core.ReportUnreachable(uint64(n + 1))
			c.nodes[n].core.ReportUnreachable(uint64(i + 1))
		}
	}
}

func (c *cluster) Heal() { c.cut = 0 }

func (c *cluster) Applied(n int) uint64 { return c.nodes[n].applied }

func (c *cluster) Messages() uint64 { return c.messages }

func (c *cluster) Compact() error {
	through := uint64(math.MaxUint64)
	for i := range c.nodes {
		through = min(through, c.nodes[i].index)
	}
	for i := range c.nodes {
		if err := c.nodes[i].storage.Compact(through); err != nil && err != raft.ErrCompacted {
			return err
		}
	}
	return nil
}

// settle runs everything until nothing is left to do: round by round, so that
// each replica takes all that has arrived before it is asked what is to be done.
func (c *cluster) settle() error {
	for c.dirty != 0 && c.err == nil {
		for due := c.dirty; due != 0 && c.err == nil; due &= due - 1 {
			i := bits.TrailingZeros64(due)
			c.dirty &^= 1 << i
			if c.nodes[i].core.HasReady() {
				c.err = c.handle(i)
				c.dirty |= 1 << i
			}
		}
	}
	return c.err
}

// handle does what a core wants done, in the order that its README gives.
func (c *cluster) handle(i int) error {
	n := &c.nodes[i]
	rd := n.core.Ready()
	if err := n.storage.Append(rd.Entries); err != nil {
		return err
	}
	if !raft.IsEmptyHardState(rd.HardState) {
		if err := n.storage.SetHardState(rd.HardState); err != nil {
			return err
		}
		n.term = rd.HardState.GetTerm()
	}
	if rd.SoftState != nil {
		n.leads = rd.SoftState.RaftState == raft.StateLeader
	}
	for _, m := range rd.Messages {
		if err := c.deliver(i, m); err != nil {
			return err
		}
	}
	if k := len(rd.CommittedEntries); k > 0 {
		n.applied += uint64(k)
		n.index = rd.CommittedEntries[k-1].GetIndex()
	}
	c.answered += uint64(len(rd.ReadStates))
	n.core.Advance(rd)
	if !raft.IsEmptySnap(rd.Snapshot) {
		return fmt.Errorf("replica %d needs a snapshot", i)
	}
	return nil
}

func (c *cluster) deliver(from int, m *raftpb.Message) error {
	to := int(m.GetTo() - 1)
	if c.isCut(from) || c.isCut(to) {
		return nil
	}
	c.messages++
	if c.wire != nil {
		var err error
		if m, err = c.wire.carry(m); err != nil {
			return err
		}
	}
	c.dirty |= 1 << to
	return c.nodes[to].core.Step(m)
}

// wire encodes and decodes. The sender encodes into the buffer of a connection.
// What is decoded is new: the core may keep the message, and Unmarshal copies
// the data.
type wire struct{ buffer []byte }

func (w *wire) carry(m *raftpb.Message) (_ *raftpb.Message, err error) {
	if w.buffer, err = (proto.MarshalOptions{}).MarshalAppend(w.buffer[:0], m); err != nil {
		return nil, err
	}
	decoded := new(raftpb.Message)
	return decoded, proto.Unmarshal(w.buffer, decoded)
}
