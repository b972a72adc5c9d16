package rafttest

import (
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/internal/vfs/drive"
	"github.com/seed-6281cb22/raft/storage/wal"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// A node is a host and the process on it: the shipping replica with its write-
// ahead log, over a simulated disk and a simulated network.
type node struct {
	e        *engine
	id       raft.NodeID
	clock    clock
	trueTime trueTime
	disk     *disk
	store    store // of a state machine that is durable by itself
	pace     pace
	founder  bool // started with Bootstrap
	upgraded bool // to a next version of the wire format

	// Of the process.
	life      int // counts starts and ends: what an earlier life has ordered is void
	up        bool
	dying     bool  // the power has gone in the middle of an event
	refusal   error // why the last start failed
	machine   hostedMachine
	replica   bridge.Replica
	handler   raft.Handler
	transport *inmem.Transport
	log       *wal.Log
	writer    *drive.Writer
	timer     uint64
	armed     raft.Instant // by the node's own clock
	syncing   bool         // the writer is at work
	acks      []func()     // of what is durable, or has failed, and not told yet
	closing   bool         // it hands over, and ends
	peers     map[raft.NodeID]string

	flips   bool // a bit flips in what it receives or reads next
	gone    bool // for good: nobody starts it
	retired bool // nobody starts it unless it is a member
	held    bool // its timer does not fire
	missed  bool // and would have

	paused   bool
	deferred []event // what would have happened meanwhile, in order
	unread   []raft.Message

	newMachine func(*node) (hostedMachine, error)
}

// hostedMachine is the user's state machine in a node.
type hostedMachine interface {
	raft.StateMachine[any]
	raft.StateHasher
	position() position // of what has been applied
	content() ([]byte, error)
}

// pace is how long a node takes for its work.
type pace struct {
	work span // a task of the state machine, a read of the log, a snapshot
	disk span // a write and its sync
}

// span is a duration drawn between two.
type span struct{ min, max time.Duration }

func (e *engine) draw(s span) time.Duration {
	if s.max <= s.min {
		return s.min
	}
	return s.min + time.Duration(e.tape.Intn(int(s.max-s.min)+1))
}

// drawLong is draw, with the longest for the mildest.
func (e *engine) drawLong(s span) time.Duration { return s.max - (e.draw(s) - s.min) }

func newNode(e *engine, id raft.NodeID, machine func(*node) (hostedMachine, error)) *node {
	n := &node{e: e, id: id, newMachine: machine, founder: true, pace: e.cfg.pace}
	n.disk, n.trueTime.n = newDisk(n), n
	return n
}

const (
	group   = raft.GroupID(1)
	cluster = "rafttest"
	walDir  = "/wal"
)

// start starts the process. An error says why it cannot: it is not up then.
func (n *node) start() error {
	if n.up {
		return fmt.Errorf("rafttest: node %d is running", n.id)
	}
	n.life++
	n.clock.since, n.clock.local = n.e.now, raft.Instant(n.life)*raft.Instant(time.Hour)
	n.up, n.dying, n.paused, n.syncing = true, false, false, false
	n.deferred, n.unread, n.acks, n.timer, n.missed = nil, nil, nil, 0, false
	n.closing, n.peers = false, map[raft.NodeID]string{}
	n.disk.unstated, n.disk.faulted = true, n.disk.failing || n.disk.full
	err := n.boot()
	if n.dying {
		n.e.happened["power loss in a start"]++
		n.die()
		return errCrashed
	}
	n.refusal = err
	if err != nil {
		n.e.happened["refusal to start"]++
		n.e.transcript.note(n, "does not start: %v", err)
		n.stop()
		return err
	}
	n.disk.unstated = false
	n.e.happened["start"]++
	n.e.transcript.note(n, "starts")
	n.wakeWriter()
	n.touched()
	return nil
}

// errorsInto is a logger that keeps what is worse than a warning.
func errorsInto(reports *[]string) *zap.Logger {
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(io.Discard), zap.ErrorLevel)
	return zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		*reports = append(*reports, e.Message)
		return nil
	}))
}

func (n *node) boot() (err error) {
	if n.machine, err = n.newMachine(n); err != nil {
		return err
	}
	n.writer = &drive.Writer{Random: n.salt}
	var reports []string
	log, err := wal.Open(walDir, wal.Options{
		FS: n.disk.fs, Manual: n.writer, SegmentBytes: n.e.cfg.segmentBytes, CacheBytes: n.e.cfg.cacheBytes,
		Logger: errorsInto(&reports),
	})
	if err != nil {
		return err
	}
	// Also if the group does not suffer from it.
	if len(reports) > 0 && !n.disk.faulted && !n.e.checks.of(n).damaged {
		n.e.fail("storage", "node %d, whose disk was not damaged: %s", n.id, reports[0])
	}
	n.log = log
	n.transport = n.e.network.Transport(n.id)
	if n.upgraded {
		n.e.network.Upgrade(n.id)
	} else {
		n.e.network.Downgrade(n.id)
	}
	cfg := n.e.cfg.raft
	cfg.ID, cfg.Group, cfg.Cluster = n.id, group, cluster
	cfg.Storage = &storage{n, log.Storage(group)}
	cfg.Transport, cfg.Clock = &transport{n.transport, n}, &n.trueTime
	if n.founder {
		cfg.Bootstrap = n.e.founders()
	}
	var machine raft.StateMachine[any] = n.machine
	if n.e.cfg.durable {
		machine = durableMachine{n.machine}
	}
	n.replica, err = bridge.Start(cfg, machine, environment{n})
	return err
}

// founders is what every founding member passes as Bootstrap.
func (e *engine) founders() []raft.Member {
	members := make([]raft.Member, e.cfg.nodes)
	for i := range members {
		id := raft.NodeID(i + 1)
		members[i] = raft.Member{ID: id, Address: address(id)}
	}
	return members
}

// salt is where the write-ahead log's salts come from. They are no decisions:
// each must be different.
func (n *node) salt() uint64 {
	n.disk.salts++
	return unique(uint64(n.id), n.disk.salts)
}

// unique returns a number that no other two give, looking random.
func unique(a, b uint64) uint64 {
	v := a<<48 ^ b
	for range 2 {
		v = (v ^ v>>31) * 0x9e3779b97f4a7c15
	}
	return v ^ v>>29
}

var (
	errCrashed = errors.New("rafttest: the node has crashed")
	errDown    = errors.New("rafttest: the node is down")
)

// alive says that the process runs, and may be heard.
func (n *node) alive() bool { return n.up && !n.dying }

// die is for a node whose power has gone in the middle of an event.
func (n *node) die() {
	n.dying = false
	n.crash(n.disk.drawSurvival())
}

// stop ends the process, and nothing else: the operating system lives on.
func (n *node) stop() {
	n.end()
	n.disk.fs.Kill()
}

// end is the end of a process, whatever the reason.
func (n *node) end() {
	if !n.up {
		return
	}
	n.up, n.dying, n.paused, n.closing = false, false, false, false
	if n.transport != nil {
		n.transport.Close() // what it tells this life is not for the next one
	}
	n.life++
	n.e.calls.crashed(n)
	n.replica, n.handler, n.transport, n.log = nil, nil, nil, nil
	n.deferred, n.unread, n.acks = nil, nil, nil
	n.e.checks.ended(n)
	n.touched()
}

// later has do happen in this life of the process, after a delay.
func (n *node) later(delay time.Duration, do func()) {
	n.e.push(event{at: n.e.now.Add(delay), node: n, life: n.life, kind: eventCall, do: do})
}

// run has a step done after a while.
func (n *node) run(step func() bool) {
	at := n.e.now.Add(n.e.draw(n.pace.work))
	n.e.push(event{at: at, node: n, life: n.life, kind: eventStep, step: step})
}

// arm has the timer fire when the node's clock shows at.
func (n *node) arm(at raft.Instant) {
	n.timer++
	n.armed = at
	if at != raft.Never {
		n.e.push(event{at: n.clock.when(at, n.e.now), node: n, life: n.life, kind: eventTimer, timer: n.timer})
	}
}

// timerFires is for the time that was asked for. A clock that has been changed
// meanwhile may show less.
func (n *node) timerFires() {
	if n.clock.at(n.e.now) < n.armed {
		n.arm(n.armed)
		return
	}
	if n.held {
		n.missed = true
		return
	}
	n.armed = raft.Never
	n.replica.Fire()
}

// setClock changes the clock, and with it when the timer fires.
func (n *node) setClock(change func(c *clock)) {
	change(&n.clock)
	if n.up && n.armed != raft.Never {
		n.arm(n.armed)
	}
}

// pause stops the process as SIGSTOP does: nothing of it runs. What arrives
// waits.
func (n *node) pause() {
	if n.up {
		n.paused = true
		n.e.transcript.note(n, "pauses")
	}
}

// resume lets the process run again. The timer and the readers of the network
// wake together; which one is first is anybody's guess.
func (n *node) resume() {
	if !n.paused {
		return
	}
	n.paused = false
	n.e.transcript.note(n, "resumes, with %d unread messages", len(n.unread))
	deferred, unread := n.deferred, n.unread
	n.deferred, n.unread = nil, nil
	read := func() {
		if len(unread) > 0 {
			n.later(0, func() { n.deliver(unread) })
		}
	}
	timerFirst := len(unread) > 0 && n.e.tape.Chance(0.5)
	if !timerFirst {
		read()
	}
	for _, ev := range deferred {
		ev.at = n.e.now
		n.e.push(ev)
	}
	if timerFirst {
		read()
	}
}

// touched is called after every event that may have changed the node.
func (n *node) touched() {
	n.e.checks.after(n)
	n.e.mix(n.digest())
}

// digest is the node's state, for the rolling hash.
func (n *node) digest() uint64 {
	h := uint64(n.id)<<32 | uint64(n.life)
	if n.replica == nil {
		return h
	}
	s := n.status()
	for _, v := range []uint64{uint64(s.Role), uint64(s.Term), uint64(s.Leader), uint64(s.Commit), uint64(s.Applied), uint64(s.Durable), uint64(s.Last), s.Ignored, n.machine.position().hash} {
		h = (h ^ v) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}

// status is the replica's. It must be there.
func (n *node) status() raft.Status { return n.replica.Core().(*raft.Raft).Status() }
