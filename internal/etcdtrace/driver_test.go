package etcdtrace

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/tape"
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

// spared is how many of a node's writes must survive for the recording to go on.
func (d *driver) spared(id raft.NodeID) int {
	revealed := d.r.Revealed(id)
	n := slices.IndexFunc(d.host(id).writes, func(w raft.Write) bool { return w.Seq > revealed })
	if n < 0 {
		n = len(d.host(id).writes)
	}
	return n
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

// elect makes id the leader.
func (d *driver) elect(id raft.NodeID) {
	d.now = max(d.now, d.host(id).core.Deadline())
	d.tick(id)
	d.deliver(raftpb.PreVote)
	d.deliver(raftpb.PreVoteReply)
	d.persistAll(id)
	d.deliver(raftpb.RequestVote)
	for _, h := range d.hosts {
		d.persistAll(h.id)
	}
	d.deliver(raftpb.RequestVoteReply)
	require.Equal(d.t, raft.Leader, d.host(id).core.Role())
}

func (d *driver) leader() raft.NodeID {
	leader := raft.NodeID(0)
	for _, h := range d.hosts {
		if h.core != nil && h.core.Role() == raft.Leader && (leader == 0 || h.core.Term() > d.host(leader).core.Term()) {
			leader = h.id
		}
	}
	return leader
}

// random runs a seeded swarm of faults. sparing crashes lose no write that
// Revealed names.
func random(t testing.TB, seed uint64, steps int, sparing bool) *driver {
	choose := tape.FromSeed(seed)
	nodes := []int{1, 2, 3, 3, 3, 5}[choose.Intn(6)]
	window, message := 1<<(7+choose.Intn(14)), 1<<choose.Intn(12)
	d := newDriver(t, nodes, seed, func(c *raft.CoreConfig) { c.MaxWindowBytes, c.MaxMessageBytes = window, message })
	weights := make([]int, 9)
	for i, most := range []int{80, 15, 15, 40, 30, 20, 20, 3, 3} {
		weights[i] = choose.Intn(most + 1)
	}
	weights[0], weights[3], weights[5] = weights[0]+20, weights[3]+5, weights[5]+2 // delivery, disks and clocks
	total := 0
	for _, w := range weights {
		total += w
	}
	reorder := choose.Intn(2) == 1
	cut := func(*raft.Message) bool { return false }
	for range steps {
		k, action := choose.Intn(total), 0
		for k >= weights[action] {
			k -= weights[action]
			action++
		}
		at := 0
		if reorder {
			at = choose.Intn(max(1, len(d.net)))
		}
		h := d.hosts[choose.Intn(nodes)]
		up := h.core != nil
		switch {
		case action <= 2 && len(d.net) == 0:
		case action <= 1: // deliver, lose
			m := d.net[at]
			d.net = slices.Delete(d.net, at, at+1)
			if action == 0 && !cut(&m) {
				d.receive(m)
			}
		case action == 2: // duplicate
			if m := d.net[at]; !cut(&m) {
				d.receive(m)
			}
		case action == 7 && !up:
			d.start(h.id)
		case action == 8:
			switch isolated := h.id; choose.Intn(2) {
			case 0:
				cut = func(*raft.Message) bool { return false }
			case 1:
				cut = func(m *raft.Message) bool { return m.From == isolated || m.To == isolated }
			}
		case !up:
		case action == 3 && len(h.writes) > 0:
			d.persist(h.id)
		case action == 4:
			d.work(h.id)
		case action == 5:
			d.now = d.now.Add(time.Duration(choose.Intn(60)) * time.Millisecond)
			if choose.Intn(4) == 0 {
				d.now = max(d.now, min(h.core.Deadline(), d.now.Add(time.Second)))
			}
			d.tick(h.id)
		case action == 6:
			if l := d.leader(); l != 0 {
				d.propose(l, choose.Intn(100))
			}
		case action == 7:
			spared := 0
			if sparing {
				spared = d.spared(h.id)
			}
			d.crash(h.id, spared+choose.Intn(len(h.writes)-spared+1))
		}
	}
	return d
}
