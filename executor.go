package raft

import (
	"context"
	"io"
	"sync"
)

// An executor runs a replica: it keeps it behind one mutex. No channel and no
// goroutine leads into the replica: whoever has an input (a proposer, a
// connection's reader, the storage, the applier, the timer) locks, feeds all
// that it has and unlocks. Within the lock the replica encodes what it has for
// the storage and the peers, which wakes these; unlock then does the rest.
//
// Outside the lock works who its environment runs, and only while there is work:
// one applies, one reads the log, and one for each snapshot that is written or
// sent.
type executor struct {
	cfg     Config
	env     environment
	machine machine
	cluster string // that this node is in
	events  eventQueue

	// methods of its own, as values that are made once
	saved       func(error)
	applyNext   func() bool
	readNextLog func() bool
	release     func()
	reportNext  func() bool

	ctx    context.Context // ends with the replica
	cancel context.CancelFunc
	done   chan struct{} // closed when the replica has ended
	idle   chan struct{} // closed when, besides, nothing works for it any more

	mu       sync.Mutex
	replica  *replica
	armed    Instant   // when the timer fires
	working  int       // who may call the storage, the transport or the machine outside the lock
	applying bool      // there is an applier
	reading  bool      // there is a log reader
	logReads []LogRead // what it is to read
	sends    sends
	pace     pace

	job  job     // the applier's
	read logRead // the log reader's

	peersMu sync.Mutex        // taken before mu
	peers   map[NodeID]string // those that the transport knows
	// addresses holds those of all who have been members in this process's
	// time; guarded by peersMu.
	addresses map[NodeID]string
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
	// hasher is the state machine, nil if it is no StateHasher.
	hasher() StateHasher
	// lastApplied is what a state machine that is durable by itself holds.
	lastApplied() Index
	// durable says that the state machine is a DurableStateMachine.
	durable() bool
}

func newExecutor(cfg Config, m machine, env environment) *executor {
	x := &executor{
		cfg:     cfg,
		env:     env,
		machine: m,
		events:  newEventQueue(&cfg),
		done:    make(chan struct{}),
		idle:    make(chan struct{}),
		armed:   Never,
		peers:   make(map[NodeID]string),

		addresses: make(map[NodeID]string),
	}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	x.saved, x.applyNext, x.readNextLog, x.reportNext = x.writeEnded, x.applyStep, x.readStep, x.reportStep
	x.release = x.endHold
	return x
}

func (x *executor) now() Instant { return x.env.now() }

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
	var apply, read, report bool
	var sends []SendSnapshot
	if fx != nil {
		if report = x.events.put(fx.events); report {
			x.working++
		}
	}
	if r.ended == nil {
		if r.moved {
			r.moved = false
			x.arm()
		}
		if fx != nil {
			x.logReads = append(x.logReads, fx.logReads...)
			x.sends.waiting = append(x.sends.waiting, fx.snapshots...)
			if read = !x.reading && len(x.logReads) > 0; read {
				x.reading = true
				x.working++
			}
		}
		sends = x.nextSends()
		if apply = !x.applying && len(r.apply.tasks) > 0; apply {
			x.applying = true
			x.working++
		}
	} else {
		x.noteEnd()
	}
	x.mu.Unlock()

	if apply {
		x.env.run(x.applyNext)
	}
	if read {
		x.env.run(x.readNextLog)
	}
	for _, s := range sends {
		x.env.run(func() bool { x.sendSnapshot(s.Message); return false })
	}
	if report {
		x.env.run(x.reportNext)
	}
	if fx == nil {
		return
	}
	for _, c := range fx.done {
		if c.result >= 0 {
			x.machine.deliver(c.result, c.future)
		}
		x.env.ended(c.future, c.err)
	}
	if movesPeers(fx.events) {
		x.syncPeers()
	}
	held := holds(fx)
	fx.reset()
	effectsPool.Put(fx)
	if held {
		x.env.yield(x.release)
	}
}

// endHold is for when those who were answered have had the time to ask again.
func (x *executor) endHold() {
	x.mu.Lock()
	x.replica.release(x.now())
	x.unlock()
}

// arm makes the timer fire at the replica's deadline, or earlier: most
// deadlines are put off before they are reached, and the timer is not touched
// for that.
func (x *executor) arm() {
	if d := x.replica.deadline(); d < x.armed {
		x.armed = d
		x.env.arm(x, d)
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
		x.env.arm(x, Never)
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

// handOver lets another one lead before this replica ends, if it leads and ctx
// does not end before.
func (x *executor) handOver(ctx context.Context) {
	f := &future{done: make(chan error, 1)}
	x.mu.Lock()
	wait := x.replica.handOver(x.now(), f)
	x.unlock()
	if !wait {
		return
	}
	select {
	case <-f.done:
	case <-ctx.Done():
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
		x.replica.event(Event{Kind: EventLogNotCompacted, Index: through, Err: err})
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

// A job is a task of the state machine that has been done and not reported yet.
type job struct {
	done     bool // there is one
	task     task
	restored Snapshot
	source   io.WriterTo // the captured state
	err      error
}

// applyStep is the applier: in turns it has the state machine do a task, and
// reports that to the replica. It ends when there is no task.
func (x *executor) applyStep() bool {
	if x.job.done {
		x.reportJob()
		x.job = job{}
		return true
	}
	x.mu.Lock()
	t, ok := x.replica.nextTask(x.now())
	if !ok {
		x.applying = false
		x.working--
		x.unlock()
		return false
	}
	x.mu.Unlock()
	x.job = job{done: true, task: t}
	switch t.kind {
	case taskApply:
		x.job.err = x.apply(&x.job.task)
	case taskRestore:
		x.job.restored, x.job.err = x.restore()
	case taskSend:
		if x.job.err = t.refused; t.refused == nil {
			x.job.source, x.job.err = x.machine.snapshot()
		}
	case taskCapture:
		x.job.source, x.job.err = x.machine.snapshot()
	}
	return true
}

// apply applies what is intact, and hashes the state if that is asked for then.
func (x *executor) apply(t *task) error {
	if err := checkIntact(t.entries); err != nil {
		return err
	}
	if err := x.machine.apply(t.entries); err != nil {
		return err
	}
	h := x.machine.hasher()
	if !t.hash || h == nil {
		return nil
	}
	var err error
	t.stateHash, err = h.StateHash()
	t.hashed = err == nil
	return err
}

func (x *executor) reportJob() {
	j, r := &x.job, x.replica
	x.mu.Lock()
	r.taskEnds(x.now(), &j.task)
	switch {
	case j.task.kind == taskApply:
		r.applied(x.now(), &j.task, j.err)
		x.unlock() // hands out the results
		x.machine.release()
		return
	case j.task.kind == taskRestore:
		r.restored(x.now(), &j.task, j.restored, j.err)
	case j.task.kind == taskSend:
		defer x.captured(j)()
	case j.err != nil:
		x.snapshotTaken(j.task.snapshot, j.err)
	default:
		x.working++
		w := &snapshotWrite{x: x, meta: j.task.snapshot, source: j.source}
		defer x.env.run(w.step)
	}
	x.unlock()
}

// logRead is what has been read and not reported yet.
type logRead struct {
	done    bool // there is something
	request LogRead
	entries []Entry
	err     error
}

// readStep is the log reader: in turns it reads, and reports that to the
// replica. It ends when nothing is to be read.
func (x *executor) readStep() bool {
	x.mu.Lock()
	if q := x.read; q.done {
		x.read = logRead{}
		x.replica.logRead(x.now(), q.request, q.entries, q.err)
		x.unlock()
		return true
	}
	if len(x.logReads) == 0 || x.replica.ended != nil {
		x.logReads, x.reading = nil, false
		x.working--
		x.unlock()
		return false
	}
	request := x.logReads[0]
	x.logReads = x.logReads[1:]
	x.mu.Unlock()
	entries, err := x.cfg.Storage.Entries(nil, request.Lo, request.Hi, request.MaxBytes)
	x.read = logRead{true, request, entries, err}
	return true
}
