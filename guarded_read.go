package raft

import "time"

// A guardedRead is a LeaseRead or a StaleRead under way. It says what must come
// before the state machine is read, and whether what was read counts. A
// goroutine of the Node's caller takes it through its steps, and in a simulation
// whoever drives the replica: wait and waited until it is ready, then the read,
// then counts, and if it does not, all of it again.
type guardedRead struct {
	x      *executor
	lease  LeaseRead
	leased bool // what is read counts only if the lease lasts until after it
	ready  bool // for the state machine to be read now
}

// beginLeaseRead begins a LeaseRead. Without a lease it is a ReadBarrier.
func (x *executor) beginLeaseRead() guardedRead {
	x.mu.Lock()
	defer x.unlock()
	lease, ok := x.replica.beginLeaseRead(x.now())
	return guardedRead{x: x, lease: lease, leased: ok, ready: ok && x.replica.hasApplied(lease.Index)}
}

// beginStaleRead begins a StaleRead. Where what is here is too old, it is a
// ReadBarrier.
func (x *executor) beginStaleRead(maxAge time.Duration) (guardedRead, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return guardedRead{x: x, ready: x.replica.isFresh(x.now(), maxAge)}, x.replica.refusal()
}

// wait lets f wait for what must come first. An error refuses that, and is for
// waited, too.
func (g *guardedRead) wait(f *future) error {
	g.x.mu.Lock()
	defer g.x.unlock()
	if g.leased {
		return g.x.replica.awaitApplied(g.x.now(), g.lease.Index, f)
	}
	return g.x.replica.readBarrier(g.x.now(), f)
}

// waited takes the end of a wait. An error that it returns is the end of the read.
func (g *guardedRead) waited(err error) error {
	if g.leased && err != nil {
		g.leased = false // a ReadBarrier says why, if it cannot help either
		return nil
	}
	g.ready = err == nil
	return err
}

// counts reports, after the state machine was read, whether what was read counts.
// If not, it is to be read again, after a ReadBarrier.
func (g *guardedRead) counts() bool {
	if !g.leased {
		return true
	}
	g.leased, g.ready = false, false
	g.x.mu.Lock()
	defer g.x.mu.Unlock()
	return g.x.replica.leaseReadValid(g.x.now(), g.lease)
}
