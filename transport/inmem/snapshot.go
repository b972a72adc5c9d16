package inmem

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// errCut is what both sides of a transfer get that the network cut.
var errCut = errors.New("raft/inmem: the connection was cut")

// transfer is a snapshot on its way. It is the body that the receiver reads.
type transfer struct {
	from, to *Transport // to is set when it arrives
	link     link
	message  []byte // the InstallSnapshot, encoded

	mu        sync.Mutex
	body      io.ReadSeeker
	remaining uint64
	cutAfter  uint64 // bytes: there the network cuts it
	awaited   bool   // a SnapshotReceiver has it; guarded by Network.mu
	ended     bool   // done has been called, or is about to be
	err       error  // why it ended
	done      func(error)
}

// StartSnapshot sends m, an InstallSnapshot, and Snapshot.Size bytes of body,
// and returns at once. The Handler of m.To gets them in one piece of the
// network's time, after the delay of a message. Where a message would be lost,
// the data is cut at some point. done is called once, when the sender hears of
// the end, with nil if the snapshot was accepted; never from within
// StartSnapshot, but with raft.ErrClosed from within Close. Until then body
// belongs to the network.
//
// It is what SendSnapshot does, for those who do not wait, as in a simulation
// without goroutines.
func (t *Transport) StartSnapshot(m raft.Message, body io.ReadSeeker, done func(error)) error {
	_, err := t.startSnapshot(m, body, done)
	return err
}

func (t *Transport) startSnapshot(m raft.Message, body io.ReadSeeker, done func(error)) (*transfer, error) {
	if m.Snapshot == nil || m.Snapshot.Size > math.MaxInt64 {
		return nil, fmt.Errorf("raft/inmem: %w: an InstallSnapshot without a Snapshot, or with an impossible size", raft.ErrMalformed)
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("raft/inmem: reading the snapshot: %w", err)
	}
	n := t.network
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case t.closed:
		return nil, raft.ErrClosed
	case t.handler == nil || !t.peers[m.To] || m.To == t.id:
		return nil, fmt.Errorf("raft/inmem: node %d is not known", m.To)
	}
	n.tick()
	l := link{t.id, m.To}
	f := n.scheduler.draw(l)
	tr := &transfer{
		from:      t,
		link:      l,
		message:   wire.AppendMessage(nil, &m),
		body:      body,
		remaining: m.Snapshot.Size,
		cutAfter:  m.Snapshot.Size + 1,
		done:      done,
	}
	if f.lost {
		tr.cutAfter = f.bit % (m.Snapshot.Size + 1)
	}
	t.transfers = append(t.transfers, tr)
	n.scheduler.schedule(f.delay, event{kind: snapshotArrives, link: l, transfer: tr})
	n.arm()
	return tr, nil
}

// snapshotArrives gives a snapshot to the Handler that it is for: at once in a
// network that is driven by hand, else in a goroutine of its own, since it may
// take long. mu is held.
func (n *Network) snapshotArrives(e event) {
	tr := e.transfer
	to := n.destination(e.link)
	if to == nil || n.scheduler.cut(e.link) {
		n.endSnapshot(tr, errCut)
		return
	}
	tr.to = to
	to.transfers = append(to.transfers, tr)
	to.peers[e.link.from] = true
	if n.clock == nil {
		n.deliverSnapshot(tr)
		return
	}
	to.calls++ // so that Close waits for the goroutine
	go func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.deliverSnapshot(tr)
		to.calls--
		n.ended.Broadcast()
	}()
}

// SnapshotReceiver is a Handler that is not waited for. A Manual network calls
// ReceiveSnapshot in place of DeliverSnapshot; the answer is what done is called
// with, the first time. Until then the body is the Handler's; what it has not
// read when a partition comes is cut off.
type SnapshotReceiver interface {
	raft.Handler
	ReceiveSnapshot(m raft.Message, body io.Reader, done func(error))
}

// deliverSnapshot calls the Handler, and sends its answer back. mu is held, but
// not during the call.
func (n *Network) deliverSnapshot(tr *transfer) {
	var batch wire.Batch
	f, _, err := wire.Parse(tr.message, len(tr.message))
	if err == nil {
		err = batch.Add(f.Payload)
	}
	receiver, async := tr.to.handler.(SnapshotReceiver)
	if err == nil && async && n.clock == nil {
		tr.awaited = true
		tr.to.call(func(raft.Handler) {
			receiver.ReceiveSnapshot(batch.Messages()[0], tr, func(err error) {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.snapshotReceived(tr, err)
			})
		})
		return
	}
	if err == nil {
		err = raft.ErrClosed
		tr.to.call(func(h raft.Handler) { err = h.DeliverSnapshot(batch.Messages()[0], tr) })
	}
	n.answerSnapshot(tr, err)
}

// snapshotReceived is the answer of a SnapshotReceiver, the first time. mu is
// held.
func (n *Network) snapshotReceived(tr *transfer, err error) {
	if tr.awaited {
		tr.awaited = false
		n.answerSnapshot(tr, err)
	}
}

// answerSnapshot sends the Handler's answer back. mu is held.
func (n *Network) answerSnapshot(tr *transfer, err error) {
	tr.to.transfers = without(tr.to.transfers, tr)
	if failed := tr.failed(); failed != nil {
		err = failed // accepted or not, it cannot have got all
	} else if err != nil {
		err = fmt.Errorf("raft/inmem: node %d did not accept the snapshot: %v", tr.link.to, err)
	}
	n.endSnapshot(tr, err)
}

// endSnapshot has the sender hear of the end, after a delay. mu is held.
func (n *Network) endSnapshot(tr *transfer, err error) {
	tr.mu.Lock()
	if tr.err == nil {
		tr.err = err
	}
	tr.mu.Unlock()
	n.tick()
	back := link{tr.link.to, tr.link.from}
	n.scheduler.schedule(n.scheduler.draw(back).delay, event{kind: snapshotEnds, link: back, transfer: tr})
	n.arm()
}

// snapshotEnds tells the sender. mu is held, but not while done runs.
func (n *Network) snapshotEnds(e event) {
	tr := e.transfer
	tr.from.transfers = without(tr.from.transfers, tr)
	err := tr.failed()
	if n.scheduler.cut(e.link) {
		err = errCut // the receiver may have accepted it all the same
	}
	n.mu.Unlock()
	tr.finish(err)
	n.mu.Lock()
}

// failed returns why the transfer has failed, nil if it has not.
func (tr *transfer) failed() error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.err
}

// closed ends the transfer because a transport of it is closed.
func (tr *transfer) closed(t *Transport) {
	if t == tr.from {
		tr.finish(raft.ErrClosed)
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.err == nil {
		tr.err = errCut // the sender hears of it when the Handler has returned
	}
}

// finish calls done, if nobody has yet. The body is the sender's again.
func (tr *transfer) finish(err error) {
	tr.mu.Lock()
	again := tr.ended
	tr.ended = true
	if tr.err == nil {
		tr.err = err
	}
	tr.body = nil
	tr.mu.Unlock()
	if !again {
		tr.done(err)
	}
}

// Read implements io.Reader for the receiver.
func (tr *transfer) Read(p []byte) (int, error) {
	blocked := tr.blocked()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	switch {
	case tr.err == nil && (blocked || tr.cutAfter == 0):
		tr.err = errCut
		fallthrough
	case tr.err != nil:
		return 0, tr.err
	case tr.remaining == 0:
		return 0, io.EOF
	}
	n, err := tr.body.Read(p[:min(uint64(len(p)), tr.remaining, tr.cutAfter)])
	tr.remaining -= uint64(n)
	tr.cutAfter -= uint64(n)
	if n == 0 && err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		tr.err = fmt.Errorf("raft/inmem: reading the snapshot: %w", err)
		return 0, tr.err
	}
	return n, nil
}

// blocked says that a partition is in the way, in either direction.
func (tr *transfer) blocked() bool {
	n := tr.from.network
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.scheduler.cut(tr.link) || n.scheduler.cut(link{tr.link.to, tr.link.from})
}

func without(transfers []*transfer, tr *transfer) []*transfer {
	if i := slices.Index(transfers, tr); i >= 0 {
		return slices.Delete(transfers, i, i+1)
	}
	return transfers
}
