// Package ours has this library take part in bench core and bench codec.
package ours

import (
	"fmt"
	"math/bits"
	"math/rand/v2"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/bench/contest"
)

// Contender is this library.
func Contender() contest.Contender {
	return contest.Contender{Cluster: newCluster, Codec: newCodec}
}

// cluster is a group of cores in one goroutine.
type cluster struct {
	nodes    []node
	members  raft.Membership
	wire     *wire
	now      raft.Instant
	dirty    uint64 // who has had an input since its last Ready
	cut      uint64 // who is cut off
	reads    uint64 // asked for
	answered uint64
	messages uint64
	proposal []raft.Entry
	err      error
}

type node struct {
	core    *raft.Raft
	log     memoryLog
	applied uint64
}

// interval is the heartbeat interval. An election timeout is ten of them, for
// all contenders.
const interval = raft.DefaultHeartbeatInterval

func newCluster(voters int, w contest.Wire) (contest.Cluster, error) {
	c := &cluster{nodes: make([]node, voters)}
	if w == contest.Encoded {
		c.wire = new(wire)
	}
	for i := range voters {
		id := raft.NodeID(i + 1)
		c.members.Members = append(c.members.Members, raft.Member{ID: id, Address: fmt.Sprint(id), Voter: true})
	}
	for i := range c.nodes {
		cfg := raft.DefaultCoreConfig(raft.NodeID(i+1), rand.NewPCG(1, uint64(i)))
		cfg.HeartbeatInterval, cfg.ElectionTimeout = interval, 10*interval
		core, err := raft.New(cfg, raft.State{Snapshot: raft.Snapshot{Membership: c.members}}, 0)
		if err != nil {
			return nil, err
		}
		c.nodes[i] = node{core: core, log: memoryLog{first: 1}}
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
		core := c.nodes[i].core
		if c.isCut(i) || core.Role() != raft.Leader {
			continue
		}
		if leader < 0 || core.Term() > c.nodes[leader].core.Term() {
			leader = i
		}
	}
	return leader
}

func (c *cluster) Propose(to int, data []byte, calls, perCall int) error {
	for len(c.proposal) < perCall {
		c.proposal = append(c.proposal, raft.Entry{})
	}
	entries := c.proposal[:perCall]
	for i := range entries {
		entries[i].Data = data
	}
	for range calls {
		if _, err := c.nodes[to].core.Propose(c.now, entries); err != nil {
			return err
		}
	}
	c.dirty |= 1 << to
	return c.settle()
}

func (c *cluster) Heartbeat() error {
	leader := c.Leader()
	core := c.nodes[leader].core
	c.now = core.Deadline()
	core.Tick(c.now)
	c.dirty |= 1 << leader
	return c.settle()
}

func (c *cluster) Interval() error {
	c.now = c.now.Add(interval)
	for i := range c.nodes {
		if core := c.nodes[i].core; !c.isCut(i) && core.Deadline() <= c.now {
			core.Tick(c.now)
			c.dirty |= 1 << i
		}
	}
	return c.settle()
}

func (c *cluster) Read(n int) error {
	leader := c.Leader()
	for range n {
		c.reads++
		if err := c.nodes[leader].core.ReadIndex(c.now, c.reads); err != nil {
			return err
		}
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
			c.nodes[i].core.Unreachable(c.now, raft.NodeID(n+1))
			c.nodes[n].core.Unreachable(c.now, raft.NodeID(i+1))
		}
	}
}

func (c *cluster) Heal() { c.cut = 0 }

func (c *cluster) Applied(n int) uint64 { return c.nodes[n].applied }

func (c *cluster) Messages() uint64 { return c.messages }

func (c *cluster) Compact() error {
	through := raft.MaxIndex
	for i := range c.nodes {
		through = min(through, raft.Index(c.nodes[i].applied)) // applied from index 1 on
	}
	for i := range c.nodes {
		n := &c.nodes[i]
		if through < n.log.first {
			continue
		}
		s := raft.Snapshot{Index: through, Term: n.log.at(through).Term, Membership: c.members}
		n.core.Compacted(c.now, s, through)
		n.log.compact(through)
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
			c.handle(i)
		}
	}
	return c.err
}

// handle does what a core wants done.
func (c *cluster) handle(i int) {
	n := &c.nodes[i]
	rd := n.core.Ready()
	if rd.Write.Seq != 0 {
		n.log.save(&rd.Write)
	}
	for k := range rd.Messages {
		c.deliver(i, &rd.Messages[k])
	}
	if rd.Write.Seq != 0 {
		n.core.Persisted(c.now, rd.Write.Seq)
		c.dirty |= 1 << i
	}
	if k := len(rd.Committed); k > 0 {
		n.applied += uint64(k)
		n.core.Applied(c.now, rd.Committed[k-1].Index)
		c.dirty |= 1 << i
	}
	for _, request := range rd.LogReads {
		n.core.LogRead(c.now, request, n.log.read(request), nil)
		c.dirty |= 1 << i
	}
	c.answered += uint64(len(rd.Reads))
	if rd.Restore != nil || len(rd.Snapshots) > 0 {
		c.err = fmt.Errorf("replica %d needs a snapshot", i)
	}
}

func (c *cluster) deliver(from int, m *raft.Message) {
	to := int(m.To - 1)
	if c.isCut(from) || c.isCut(to) {
		return
	}
	c.messages++
	var err error
	if c.wire != nil {
		if m, err = c.wire.carry(m); err != nil {
			c.err = err
			return
		}
	}
	if err := c.nodes[to].core.Step(c.now, m); err != nil {
		c.err = err
	}
	c.dirty |= 1 << to
}

// wire encodes and decodes. The sender encodes into the buffer of a connection.
// A receiver has a buffer, too, from which it decodes; but the data that its log
// keeps has memory of its own, one piece for a message, as in transport/tcp.
type wire struct {
	buffer  []byte
	decoded raft.Message
}

func (w *wire) carry(m *raft.Message) (*raft.Message, error) {
	w.buffer = m.Append(w.buffer[:0])
	if err := w.decoded.Unmarshal(w.buffer); err != nil {
		return nil, err
	}
	entries, size := w.decoded.Entries, 0
	for i := range entries {
		size += len(entries[i].Data)
	}
	if size == 0 {
		return &w.decoded, nil
	}
	data := make([]byte, 0, size)
	for i := range entries {
		start := len(data)
		data = append(data, entries[i].Data...)
		entries[i].Data = data[start:len(data):len(data)]
	}
	return &w.decoded, nil
}
