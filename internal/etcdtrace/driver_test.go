package etcdtrace

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// driver runs cores and a recorder beside them. Nothing happens by itself:
// messages are delivered, writes completed and timers fired one at a time.
type driver struct {
	t     testing.TB
	r     *Recorder
	hosts []*host
	net   []raft.Message
	now   raft.Instant
	cfg   func(*raft.CoreConfig)
	seed  uint64
}

// host is a core and its disk, on which a write is durable when it is applied.
type host struct {
	id       raft.NodeID
	core     *raft.Raft // nil: down
	hard     raft.HardState
	log      []raft.Entry
	founding raft.Membership
	writes   []raft.Write // handed out, not durable
	apply    []raft.Entry
	reads    []raft.LogRead
	lives    uint64
}

func newDriver(t testing.TB, nodes int, seed uint64, cfg func(*raft.CoreConfig)) *driver {
	d := &driver{t: t, seed: seed, cfg: cfg}
	var founding raft.Membership
	var ids []raft.NodeID
	for id := raft.NodeID(1); int(id) <= nodes; id++ {
		founding.Members = append(founding.Members, raft.Member{ID: id, Voter: true})
		ids = append(ids, id)
	}
	d.r = New(ids...)
	for _, id := range ids {
		d.hosts = append(d.hosts, &host{id: id, hard: raft.HardState{Unmarked: true}, founding: founding})
		d.start(id)
	}
	return d
}

func (d *driver) host(id raft.NodeID) *host { return d.hosts[id-1] }

func (h *host) state() raft.State {
	s := raft.State{HardState: h.hard, Snapshot: raft.Snapshot{Membership: h.founding}, First: 1, Last: raft.Index(len(h.log))}
	for i := range h.log {
		e := &h.log[i]
		if n := len(s.Runs); n == 0 || s.Runs[n-1].Term != e.Term {
			s.Runs = append(s.Runs, raft.TermRun{First: e.Index, Term: e.Term})
		}
		if e.Type == raft.EntryMembership {
			s.Memberships = append(s.Memberships, raft.MembershipAt{Index: e.Index, Membership: h.founding})
		}
	}
	return s
}

func (d *driver) start(id raft.NodeID) {
	h := d.host(id)
	h.lives++
	cfg := raft.DefaultCoreConfig(id, rand.NewPCG(d.seed, uint64(id)<<32+h.lives))
	if d.cfg != nil {
		d.cfg(&cfg)
	}
	core, err := raft.New(cfg, h.state(), d.now)
	require.NoError(d.t, err)
	h.core = core
	d.r.Started(id, h.state())
	d.stepped(h)
}

// crash ends a node. Of its writes that are not durable, the first `survive`
// become so just before.
func (d *driver) crash(id raft.NodeID, survive int) {
	h := d.host(id)
	seq := uint64(0)
	for i := range h.writes[:survive] {
		h.write(&h.writes[i])
		seq = h.writes[i].Seq
	}
	d.r.Crashed(id, seq)
	h.core, h.writes, h.apply, h.reads = nil, nil, nil, nil
}

func (h *host) write(w *raft.Write) {
	h.hard = w.HardState
	if len(w.Entries) > 0 {
		h.log = append(slices.Clip(h.log[:w.Entries[0].Index-1]), w.Entries...)
	}
}

func (d *driver) drain(h *host) *raft.Ready {
	rd := h.core.Ready()
	for _, m := range rd.Messages {
		m.Entries = slices.Clone(m.Entries)
		d.net = append(d.net, m)
	}
	if rd.Write.Seq != 0 {
		w := rd.Write
		w.Entries = slices.Clone(w.Entries)
		h.writes = append(h.writes, w)
	}
	h.apply = append(h.apply, rd.Committed...)
	h.reads = append(h.reads, rd.LogReads...)
	return &rd
}

func (d *driver) stepped(h *host) { d.r.Stepped(h.id, h.core, d.drain(h)) }

func (d *driver) tick(id raft.NodeID) {
	d.host(id).core.Tick(d.now)
	d.stepped(d.host(id))
}

func (d *driver) receive(m raft.Message) {
	h := d.host(m.To)
	if h.core == nil {
		return
	}
	m.Entries = slices.Clone(m.Entries)
	require.NoError(d.t, h.core.Step(d.now, &m))
	d.r.Received(h.id, &m, h.core, d.drain(h))
}

// persist completes the oldest write.
func (d *driver) persist(id raft.NodeID) {
	h := d.host(id)
	w := h.writes[0]
	h.writes = h.writes[1:]
	h.write(&w)
	h.core.Persisted(d.now, w.Seq)
	d.r.Persisted(id, w.Seq, h.core, d.drain(h))
}

func (d *driver) propose(id raft.NodeID, size int) {
	h := d.host(id)
	if _, err := h.core.Propose(d.now, []raft.Entry{{Data: make([]byte, size)}}); err == nil {
		d.stepped(h)
	}
}

// work lets a node apply what it was given, or read what it lacks.
func (d *driver) work(id raft.NodeID) {
	h := d.host(id)
	switch {
	case len(h.reads) > 0:
		q := h.reads[0]
		h.reads = h.reads[1:]
		// What was asked for in an earlier term may have been replaced.
		end := min(q.Hi, raft.Index(len(h.log))+1)
		h.core.LogRead(d.now, q, slices.Clone(h.log[min(q.Lo, end)-1:end-1]), nil)
		require.NoError(d.t, h.core.Err())
	case len(h.apply) > 0:
		last := h.apply[len(h.apply)-1].Index
		h.apply = nil
		h.core.Applied(d.now, last)
	default:
		return
	}
	d.stepped(h)
}

// take takes a message from the net.
func (d *driver) take(match func(*raft.Message) bool) raft.Message {
	for i := range d.net {
		if m := d.net[i]; match(&m) {
			d.net = slices.Delete(d.net, i, i+1)
			return m
		}
	}
	require.Fail(d.t, "no such message")
	return raft.Message{}
}

func between(kind raftpb.MessageType, from, to raft.NodeID) func(*raft.Message) bool {
	return func(m *raft.Message) bool { return m.Type == kind && m.From == from && m.To == to }
}

// deliver delivers the messages of a kind that are on their way.
func (d *driver) deliver(kinds ...raftpb.MessageType) {
	var now []raft.Message
	d.net = slices.DeleteFunc(d.net, func(m raft.Message) bool {
		if slices.Contains(kinds, m.Type) {
			now = append(now, m)
			return true
		}
		return false
	})
	for _, m := range now {
		d.receive(m)
	}
}

func (d *driver) persistAll(id raft.NodeID) {
	for len(d.host(id).writes) > 0 {
		d.persist(id)
	}
}

// campaign makes id a candidate, whose vote for itself is not durable yet.
func (d *driver) campaign(id raft.NodeID) {
	d.now = max(d.now, d.host(id).core.Deadline())
	d.tick(id)
	d.deliver(raftpb.PreVote)
	d.deliver(raftpb.PreVoteReply)
	require.Equal(d.t, raft.Candidate, d.host(id).core.Role())
}

// elect makes id the leader.
func (d *driver) elect(id raft.NodeID) {
	d.campaign(id)
	d.persistAll(id)
	d.deliver(raftpb.RequestVote)
	for _, h := range d.hosts {
		d.persistAll(h.id)
	}
	d.deliver(raftpb.RequestVoteReply)
	require.Equal(d.t, raft.Leader, d.host(id).core.Role())
}
