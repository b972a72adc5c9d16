package tcp

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// keptResults is how many results of transfers are remembered, for senders whose
// connection broke before they heard.
const keptResults = 16

var (
	errSuperseded = errors.New("raft/tcp: another snapshot for the same group came instead")
	errSenderGone = errors.New("raft/tcp: the sender has not come back")
)

// transferID names a snapshot on its way, from one call of SendSnapshot until
// the Handler has answered, over all connections.
type transferID struct {
	from   raft.NodeID
	number uint64
}

// transfer is a snapshot that is being received. While it has no connection, it
// waits for the sender to come back.
type transfer struct {
	t       *Transport
	id      transferID
	message raft.Message
	payload []byte // message as it came

	ended     chan struct{} // closed when there is a result
	result    wire.Result
	violation error // how the sender broke the protocol, instead of a result

	mu      sync.Mutex
	current *attachment   // nil: none
	changed chan struct{} // holds a token when current or failure has changed
	arrived uint64        // bytes
	failure error         // no more is wanted
}

// attachment is a connection of a transfer.
type attachment struct {
	link   *link
	broken chan error // gets one value when the transfer has let go of it
}

// finished is a transfer that has ended.
type finished struct {
	id     transferID
	result wire.Result
}

// resumeTime is how long the receiver of a snapshot waits for the sender to come
// back, and how long the sender tries without bringing anything forward: time to
// notice that a connection is dead, twice, and to make another.
func (o *Options) resumeTime() time.Duration {
	return 2*o.PeerTimeout + o.ConnectTimeout + o.MaxBackoff
}

// joinTransfer returns the transfer that a connection belongs to, which it begins
// if there is none of that id, or a result to answer at once.
//
// A new transfer takes the place of one for the same group that has no
// connection: its sender has given up, or is gone.
func (t *Transport) joinTransfer(id transferID, m raft.Message, payload []byte) (*transfer, *wire.Result, error) {
	patience := time.NewTimer(t.opts.PeerTimeout / 2) // the sender waits, too
	defer patience.Stop()
	for {
		tr, older, result, err := t.lookUpTransfer(id, m, payload)
		if older == nil {
			return tr, result, err
		}
		older.fail(errSuperseded)
		select {
		case <-older.ended:
		case <-t.ctx.Done():
			return nil, nil, raft.ErrClosed
		case <-patience.C:
			return nil, &wire.Result{Busy: true, Reason: "busy with an older snapshot"}, nil
		}
	}
}

// lookUpTransfer does one step of joinTransfer: older has to end first, if it is
// not nil.
func (t *Transport) lookUpTransfer(id transferID, m raft.Message, payload []byte) (tr, older *transfer, result *wire.Result, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, nil, nil, raft.ErrClosed
	}
	for _, f := range t.finished {
		if f.id == id {
			return nil, nil, &f.result, nil
		}
	}
	for _, tr := range t.transfers {
		switch {
		case tr.id == id && !bytes.Equal(tr.payload, payload):
			return nil, nil, nil, &protocolError{"a transfer that is resumed with another snapshot"}
		case tr.id == id:
			return tr, nil, nil, nil
		case tr.message.Group == m.Group && !tr.connected():
			return nil, tr, nil, nil
		}
	}
	if len(t.transfers) >= t.opts.MaxSnapshots {
		return nil, nil, &wire.Result{Busy: true, Reason: "too many snapshots at once"}, nil
	}
	tr = &transfer{t: t, id: id, message: m, payload: payload, ended: make(chan struct{}), changed: make(chan struct{}, 1)}
	t.transfers = append(t.transfers, tr)
	t.group.Go(tr.deliver)
	return tr, nil, nil, nil
}

// end makes the result known to the sender's connections, now and later.
func (tr *transfer) end(r wire.Result) {
	t := tr.t
	t.mu.Lock() // the next snapshot may come as soon as the sender has heard
	t.transfers = slices.DeleteFunc(t.transfers, func(other *transfer) bool { return other == tr })
	if len(t.finished) == keptResults {
		t.finished = slices.Delete(t.finished, 0, 1)
	}
	t.finished = append(t.finished, finished{tr.id, r})
	t.mu.Unlock()
	tr.result = r
	close(tr.ended)
}

// attach makes l the transfer's connection, in place of an older one, and returns
// from which offset on the data is to come on it; nil if a newer connection is
// there.
func (tr *transfer) attach(l *link) (*attachment, uint64) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if old := tr.current; old != nil {
		if old.link.number > l.number {
			return nil, 0
		}
		old.link.close()
		old.broken <- nil
	}
	tr.current = &attachment{link: l, broken: make(chan error, 1)}
	tr.signal()
	return tr.current, tr.arrived
}

// detach lets go of a connection that broke.
func (tr *transfer) detach(a *attachment, err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.current != a {
		return
	}
	tr.current = nil
	a.link.close()
	a.broken <- err
}

// lost returns why connection a is lost, on which nothing more can be said: for
// err, unless what was read from it has ended it before, for a better reason.
func (tr *transfer) lost(a *attachment, err error) error {
	tr.detach(a, err)
	return <-a.broken
}

// await returns the transfer's connection, when there is one. It waits for
// resumeTime at most.
func (tr *transfer) await() (*attachment, error) {
	timer := time.NewTimer(tr.t.opts.resumeTime())
	defer timer.Stop()
	for {
		tr.mu.Lock()
		a, err := tr.current, tr.failure
		tr.mu.Unlock()
		if a != nil || err != nil {
			return a, err
		}
		select {
		case <-tr.changed:
		case <-timer.C:
			return nil, errSenderGone
		case <-tr.t.ctx.Done():
			return nil, raft.ErrClosed
		}
	}
}

// fail ends the reading of the data, for good.
func (tr *transfer) fail(err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.failure = err
	if tr.current != nil {
		tr.current.link.close()
	}
	tr.signal()
}

// signal wakes await. mu is held.
func (tr *transfer) signal() {
	select {
	case tr.changed <- struct{}{}:
	default:
	}
}

func (tr *transfer) connected() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.current != nil
}

// has returns how many bytes have arrived.
func (tr *transfer) has() uint64 {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.arrived
}
