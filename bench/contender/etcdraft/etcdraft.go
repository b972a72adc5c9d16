// Package etcdraft is go.etcd.io/raft v3.7 as a contender: its RawNode with
// etcd's write-ahead log, and what that library leaves to its users, a loop, a
// transport over TCP and the keeping of snapshots, written for throughput.
package etcdraft

import (
	"context"
	"errors"
	"io"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/seed-6281cb22/raft/bench/contender"
)

var (
	errClosed   = errors.New("etcdraft: the node is closed")
	errNoLeader = errors.New("etcdraft: no leader, or another one than before")
	errTimeout  = errors.New("etcdraft: no answer in time")
)

// timeout is when an operation fails that nothing came of.
const timeout = 5 * time.Second

// node is what the callers' side and the loop share; the loop's own is in loop.
type node struct {
	inbox   inbox
	machine *contender.Machine
	disk    *disk
	leader  atomic.Uint64
	term    atomic.Uint64
	loop    *loop
	network *network
}

// Start is the contender.Start of this library.
func Start(config contender.Config) (contender.Node, error) {
	n := &node{machine: config.Machine, inbox: inbox{wake: make(chan struct{}, 1)}}
	var err error
	if n.disk, err = openDisk(config.Dir, len(config.Addrs), config.Keep); err != nil {
		return nil, err
	}
	if err := n.disk.restore(n.machine); err != nil {
		return nil, errors.Join(err, n.disk.close())
	}
	// etcd's own settings: server/etcdserver/raft.go and embed/config.go.
	tick := 100 * time.Millisecond
	if config.Timing == contender.Aggressive {
		tick = 10 * time.Millisecond
	}
	raw, err := raft.NewRawNode(&raft.Config{
		ID: uint64(config.Node), ElectionTick: 10, HeartbeatTick: 1,
		Storage: n.disk.memory, Applied: n.disk.snapshotIndex(),
		MaxSizePerMsg: 512 << 10, MaxInflightMsgs: 512,
		CheckQuorum: true, PreVote: true, ReadOnlyOption: raft.ReadOnlySafe,
		Logger: &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)},
	})
	if err != nil {
		return nil, errors.Join(err, n.disk.close())
	}
	if n.network, err = listen(config.Node, config.Addrs, n.disk, &n.inbox); err != nil {
		return nil, errors.Join(err, n.disk.close())
	}
	n.loop = newLoop(n, raw, config, tick)
	go n.loop.run()
	return n, nil
}

func (n *node) Leader() int  { return int(n.leader.Load()) }
func (n *node) Term() uint64 { return n.term.Load() }

// Propose puts eight bytes before the data, which are the request's id.
func (n *node) Propose(ctx context.Context, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	withID := make([]byte, 8+len(data))
	copy(withID[8:], data)
	done := answers.Get().(chan error)
	if !n.inbox.put(func(w *work) { w.proposals = append(w.proposals, proposal{withID, done}) }) {
		return errClosed
	}
	return await(ctx, done)
}

func (n *node) Read(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := answers.Get().(chan error)
	if !n.inbox.put(func(w *work) { w.reads = append(w.reads, done) }) {
		return errClosed
	}
	return await(ctx, done)
}

// answers are channels of one place. One goes back only when its answer was
// taken, so that no late answer reaches another caller.
var answers = sync.Pool{New: func() any { return make(chan error, 1) }}

func await(ctx context.Context, done chan error) error {
	select {
	case err := <-done:
		answers.Put(done)
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *node) Snapshot() error {
	done := make(chan error, 1)
	if !n.inbox.put(func(w *work) {
		w.calls = append(w.calls, func(l *loop) { l.takeSnapshot(done) })
	}) {
		return errClosed
	}
	return <-done
}

func (n *node) Close() error {
	if !n.inbox.close() {
		return errClosed
	}
	<-n.loop.done
	n.network.close()
	n.loop.snapshots.Wait()
	return errors.Join(n.loop.err, n.disk.close())
}

// inbox is what waits for the loop. Whoever puts something in wakes the loop,
// which takes all there is.
type inbox struct {
	mu     sync.Mutex
	work   work
	closed bool
	wake   chan struct{} // one place
}

// work is what the loop takes at once. Its slices are used again.
type work struct {
	messages  []*raftpb.Message
	proposals []proposal
	reads     []chan error
	calls     []func(*loop)
}

type proposal struct {
	data []byte // with place for the id
	done chan error
}

// put returns false, without a call of add, on an inbox that is closed.
func (b *inbox) put(add func(*work)) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	add(&b.work)
	b.mu.Unlock()
	b.signal()
	return true
}

func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take exchanges what waits for an empty work.
func (b *inbox) take(w *work) {
	clear(w.messages)
	clear(w.proposals)
	clear(w.reads)
	clear(w.calls)
	*w = work{w.messages[:0], w.proposals[:0], w.reads[:0], w.calls[:0]}
	b.mu.Lock()
	b.work, *w = *w, b.work
	b.mu.Unlock()
}

// close returns false if it was closed before.
func (b *inbox) close() bool {
	b.mu.Lock()
	was := b.closed
	b.closed = true
	b.mu.Unlock()
	b.signal()
	return !was
}

func (b *inbox) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}
