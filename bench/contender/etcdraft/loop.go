package etcdraft

import (
	"encoding/binary"
	"runtime"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/seed-6281cb22/raft/bench/contender"
)

// loop is the one goroutine that has the RawNode. It takes all that waits, steps
// it as one batch, and handles what is ready; while it waits for the disk the
// next batch gathers.
type loop struct {
	*node
	id       uint64
	raw      *raft.RawNode
	interval time.Duration
	every    uint64 // entries from one snapshot to the next
	done     chan struct{}
	err      error // why it ended, if not by Close

	now       uint64 // in ticks
	patience  uint64 // likewise: timeout
	applied   uint64
	lastID    uint64
	waiting   map[uint64]waiter // by request id
	late      []*raftpb.Message // reused by ready
	reads     reads
	snapshots sync.WaitGroup
	answered  int  // proposals since the last batch was taken
	capturing bool // a snapshot is being written
}

type waiter struct {
	done  chan error
	since uint64 // in ticks
}

func newLoop(n *node, raw *raft.RawNode, config contender.Config, tick time.Duration) *loop {
	return &loop{
		node: n, id: uint64(config.Node), raw: raw, interval: tick, every: config.SnapshotEvery,
		done: make(chan struct{}), patience: uint64(timeout / tick), applied: n.disk.snapshotIndex(),
		// Ids of this life and of earlier ones, and of other nodes, must differ.
		lastID:  uint64(config.Node)<<56 | uint64(time.Now().UnixNano())&(1<<56-1),
		waiting: map[uint64]waiter{},
	}
}

func (l *loop) run() {
	defer close(l.done)
	ticker := time.NewTicker(l.interval)
	defer ticker.Stop()
	var w work
	for l.err == nil && !l.inbox.isClosed() {
		if l.answered > 1 {
			runtime.Gosched() // whoever was answered may have more: let it join this batch
		}
		l.answered = 0
		l.inbox.take(&w)
		l.step(&w)
		select {
		case <-ticker.C:
			l.tick()
		default:
		}
		if l.raw.HasReady() {
			l.err = l.ready()
			continue
		}
		select {
		case <-ticker.C:
			l.tick()
		case <-l.inbox.wake:
		}
	}
	l.inbox.close()
	l.inbox.take(&w)
	l.refuse(&w)
}

// step gives RawNode all that came, the proposals as one message.
func (l *loop) step(w *work) {
	for _, m := range w.messages {
		l.raw.Step(m) // its errors are of messages to ignore
	}
	if len(w.proposals) > 0 {
		entries := make([]*raftpb.Entry, len(w.proposals))
		for i, p := range w.proposals {
			l.lastID++
			binary.LittleEndian.PutUint64(p.data, l.lastID)
			l.waiting[l.lastID] = waiter{p.done, l.now}
			entries[i] = &raftpb.Entry{Data: p.data}
		}
		err := l.raw.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(l.id), Entries: entries})
		if err != nil {
			for i := range entries {
				l.answer(l.lastID-uint64(i), err)
			}
		}
	}
	l.reads.waiting = append(l.reads.waiting, w.reads...)
	l.askForIndex()
	for _, call := range w.calls {
		call(l)
	}
}

// refuse answers all that will not be served any more.
func (l *loop) refuse(w *work) {
	for id := range l.waiting {
		l.answer(id, errClosed)
	}
	for _, p := range w.proposals {
		p.done <- errClosed
	}
	l.reads.waiting = append(l.reads.waiting, w.reads...)
	l.reads.fail(errClosed)
	for _, call := range w.calls {
		call(l) // sees that the inbox is closed
	}
}

func (l *loop) answer(id uint64, err error) {
	if w, ok := l.waiting[id]; ok {
		delete(l.waiting, id)
		w.done <- err
		l.answered++
	}
}

func (l *loop) tick() {
	l.raw.Tick()
	l.now++
	if l.now%(l.patience/5) == 0 {
		for id, w := range l.waiting {
			if l.now-w.since > l.patience {
				l.answer(id, errTimeout)
			}
		}
	}
	l.reads.expire(l.now, l.patience)
	if l.reads.asked != nil && l.now-l.reads.askedAt >= retryReads {
		l.reads.askedAt = l.now
		l.raw.ReadIndex(l.reads.context())
	}
}

// ready handles what RawNode has ready. Requests to others leave before this
// node's disk has the entries, so that all disks work at once; answers, which
// promise what is on the disk, leave after. What is committed is on a majority's
// disks whatever this one does next, so clients are answered before.
func (l *loop) ready() error {
	rd := l.raw.Ready()
	if !raft.IsEmptyHardState(rd.HardState) {
		l.term.Store(rd.HardState.GetTerm())
	}
	if rd.SoftState != nil {
		l.leaderChanged(rd.SoftState.Lead)
	}
	l.late = l.late[:0]
	early := rd.Messages[:0:0]
	for _, m := range rd.Messages {
		switch m.GetType() {
		case raftpb.MsgAppResp, raftpb.MsgVoteResp, raftpb.MsgPreVoteResp:
			l.late = append(l.late, m)
		default:
			early = append(early, m)
		}
	}
	l.network.send(early)
	if !raft.IsEmptySnap(rd.Snapshot) {
		if err := l.disk.install(rd.Snapshot, l.machine); err != nil {
			return err
		}
		l.applied = rd.Snapshot.GetMetadata().GetIndex()
	}
	l.apply(rd.CommittedEntries)
	if err := l.disk.save(rd.HardState, rd.Entries); err != nil {
		return err
	}
	l.takeSnapshotIfDue()
	l.network.send(l.late)
	l.reads.confirm(rd.ReadStates)
	l.askForIndex()
	l.reads.serve(l.applied)
	l.raw.Advance(rd)
	return nil
}

// leaderChanged gives up what an earlier leader was asked for: it may still
// happen, but nobody would say so.
func (l *loop) leaderChanged(leader uint64) {
	if l.leader.Swap(leader) == leader {
		return
	}
	for id := range l.waiting {
		l.answer(id, errNoLeader)
	}
	if leader == raft.None {
		l.reads.fail(errNoLeader)
	} else if l.reads.asked != nil {
		l.raw.ReadIndex(l.reads.context())
	}
}

func (l *loop) apply(entries []*raftpb.Entry) {
	for _, e := range entries {
		l.applied = e.GetIndex()
		if data := e.GetData(); len(data) >= 8 {
			l.machine.Apply(data[8:])
			l.answer(binary.LittleEndian.Uint64(data), nil)
		}
	}
	l.reads.serve(l.applied)
}

// takeSnapshotIfDue comes after save: what is committed may have been applied
// before this node's log had it.
func (l *loop) takeSnapshotIfDue() {
	if l.every > 0 && l.applied-l.disk.snapshotIndex() >= l.every && !l.capturing {
		l.takeSnapshot(make(chan error, 1))
	}
}

// takeSnapshot answers done when the state of now is on the disk, and the log
// before it is freed. Only its capture is on the loop.
func (l *loop) takeSnapshot(done chan error) {
	if l.inbox.isClosed() {
		done <- errClosed
		return
	}
	index, count := l.applied, l.machine.Applied()
	l.capturing = true
	l.snapshots.Go(func() {
		err := l.disk.writeSnapshot(index, count, l.machine)
		l.inbox.put(func(w *work) { w.calls = append(w.calls, func(l *loop) { l.capturing = false }) })
		done <- err
	})
}

// askForIndex asks for one read index for all readers that wait, if no earlier
// question is open.
func (l *loop) askForIndex() {
	if l.reads.asked != nil || len(l.reads.waiting) == 0 {
		return
	}
	if l.leader.Load() == raft.None {
		l.reads.fail(errNoLeader)
		return
	}
	l.reads.ask(l.now)
	l.raw.ReadIndex(l.reads.context())
}
