package raft

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// An executor runs a replica: it keeps it behind one mutex. No channel and no
// goroutine leads into the replica: whoever has an input (a proposer, a
// connection's reader, the storage, the applier, the timer) locks, feeds all
// that it has and unlocks. Within the lock the replica encodes what it has for
// the storage and the peers, which wakes these; unlock then does the rest.
//
// Goroutines exist only while there is work for them: one applies, one reads
// the log, and one for each snapshot that is written or sent.
type executor struct {
	cfg     Config
	machine machine
	log     *zap.Logger
	start   time.Time // the origin of Instants
	saved   func(error)

	ctx    context.Context // ends with the replica
	cancel context.CancelFunc
	done   chan struct{} // closed when the replica has ended
	idle   chan struct{} // closed when, besides, nothing works for it any more

	mu       sync.Mutex
	replica  *replica
	timer    *time.Timer
	armed    Instant   // when the timer fires
	working  int       // who may call the storage, the transport or the machine outside the lock
	applying bool      // there is an applier
	logReads []LogRead // for the log reader, which exists while there are any

	peersMu sync.Mutex // taken before mu
	peers   map[NodeID]string

	ignored atomic.Uint64 // messages
}

// machine is a StateMachine without the type of its results.
type machine interface {
	// apply keeps the results until release.
	apply(entries []Entry) error
	// deliver hands result i to a call that it belongs to.
	deliver(i int, f *future)
	release()
	snapshot() (io.WriterTo, error)
	restore(r io.Reader) error
}

func newExecutor(cfg Config, m machine) *executor {
	x := &executor{
		cfg:     cfg,
		machine: m,
		log:     cfg.Logger.With(zap.Uint64("node", uint64(cfg.ID)), zap.Uint64("group", uint64(cfg.Group))),
		start:   time.Now(),
		done:    make(chan struct{}),
		idle:    make(chan struct{}),
		armed:   Never,
		peers:   make(map[NodeID]string),
	}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	x.saved = x.writeEnded
	return x
}

func (x *executor) now() Instant { return Instant(time.Since(x.start)) }

// effectsPool holds empty effects: one set is being filled by each replica,
// and one is being carried out by each unlock that has something to do.
var effectsPool = sync.Pool{New: func() any { return new(effects) }}

// unlock ends every input: it unlocks mu and carries out what the replica has
// asked for.
func (x *executor) unlock() {
	r := x.replica
	var fx *effects
	if !r.fx.empty() {
		fx = r.fx
		r.fx = effectsPool.Get().(*effects)
	}
	var apply, read bool
	if r.ended == nil {
		if r.moved {
			r.moved = false
			x.arm()
		}
		if apply = !x.applying && len(r.apply.tasks) > 0; apply {
			x.applying = true
			x.working++
		}
		if fx != nil {
			read = len(x.logReads) == 0 && len(fx.logReads) > 0
			x.logReads = append(x.logReads, fx.logReads...)
			x.working += len(fx.snapshots)
			if read {
				x.working++
			}
		}
	} else {
		x.noteEnd()
	}
	ended := r.ended != nil
	x.mu.Unlock()

	if apply {
		go x.applyTasks()
	}
	if read {
		go x.readLog()
	}
	if fx == nil {
		return
	}
	for _, c := range fx.done {
		if c.result >= 0 {
			x.machine.deliver(c.result, c.future)
		}
		c.future.done <- c.err
	}
	if !ended {
		for _, s := range fx.snapshots {
			go x.sendSnapshot(s.Message)
		}
	}
	x.report(fx.events)
	fx.reset()
	effectsPool.Put(fx)
}

// arm makes the timer fire at the replica's deadline, or earlier: most
// deadlines are put off before they are reached, and the timer is not touched
// for that.
func (x *executor) arm() {
	if d := x.replica.deadline(); d < x.armed {
		x.armed = d
		x.timer.Reset(max(0, time.Duration(d-x.now())))
	}
}

func (x *executor) fire() {
	x.mu.Lock()
	x.armed = Never
	x.replica.tick(x.now())
	x.unlock()
}

// noteEnd is called with mu held once the replica has ended.
func (x *executor) noteEnd() {
	select {
	case <-x.done:
	default:
		x.cancel()
		x.timer.Stop()
		close(x.done)
	}
	if x.working > 0 {
		return
	}
	select {
	case <-x.idle:
	default:
		close(x.idle)
	}
}

// end ends the replica, if it has not ended by itself.
func (x *executor) end(cause error) {
	x.mu.Lock()
	x.replica.end(cause)
	x.unlock()
}

func (x *executor) err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.replica.ended
}

// save, send and compact make the executor a replicaIO.

func (x *executor) save(w Write) { x.cfg.Storage.Save(w, x.saved) }

func (x *executor) send(messages []Message) { x.cfg.Transport.Send(messages) }

func (x *executor) compact(through Index) {
	if err := x.cfg.Storage.Compact(through); err != nil {
		x.log.Warn("log not compacted", zap.Uint64("through", uint64(through)), zap.Error(err))
	}
}

// writeEnded is what the storage calls for each write.
func (x *executor) writeEnded(err error) {
	x.mu.Lock()
	if err != nil {
		x.replica.persistFailed(x.now(), err)
	} else {
		x.replica.persisted(x.now())
	}
	x.unlock()
}

// Deliver makes the executor, with DeliverSnapshot and Unreachable, the
// transport's Handler.
func (x *executor) Deliver(messages []Message) {
	x.mu.Lock()
	x.replica.step(x.now(), messages)
	x.unlock()
}

// Unreachable tells the core that messages may be lost.
func (x *executor) Unreachable(id NodeID) {
	x.mu.Lock()
	x.replica.unreachable(x.now(), id)
	x.unlock()
}

// applyTasks is the applier: it does the tasks of the state machine, and ends
// when there are none.
func (x *executor) applyTasks() {
	r := x.replica
	x.mu.Lock()
	for {
		t, ok := r.nextTask()
		if !ok {
			x.applying = false
			x.working--
			x.unlock()
			return
		}
		x.unlock()
		switch t.kind {
		case taskApply:
			err := x.machine.apply(t.entries)
			x.mu.Lock()
			r.applied(x.now(), &t, err)
			x.unlock() // hands out the results
			x.machine.release()
			x.mu.Lock()
		case taskRestore:
			opened, err := x.restore()
			x.mu.Lock()
			r.restored(x.now(), &t, opened, err)
		case taskCapture:
			source, err := x.machine.snapshot()
			x.mu.Lock()
			if err != nil {
				x.snapshotFailed(t.snapshot, err)
				r.snapshotTaken(x.now(), t.snapshot, err)
				continue
			}
			x.working++
			go x.writeSnapshot(t.snapshot, source)
		}
	}
}

// readLog is the log reader.
func (x *executor) readLog() {
	x.mu.Lock()
	for len(x.logReads) > 0 && x.replica.ended == nil {
		request := x.logReads[0]
		x.unlock()
		entries, err := x.cfg.Storage.Entries(nil, request.Lo, request.Hi, request.MaxBytes)
		x.mu.Lock()
		x.logReads = x.logReads[1:]
		x.replica.logRead(x.now(), request, entries, err)
	}
	x.logReads = nil
	x.working--
	x.unlock()
}
