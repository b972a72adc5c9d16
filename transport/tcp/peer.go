package tcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// peer is a node that this one dials, at one address. When the address
// changes, another peer takes its place.
type peer struct {
	t       *Transport
	id      raft.NodeID
	address string
	// learned says that the address is not from SetPeer but from the node's
	// own Hello; it lives as long as its connection.
	learned bool
	out     *outbox

	ctx    context.Context
	cancel context.CancelFunc

	mu        sync.Mutex
	connected bool
	err       error
}

func newPeer(t *Transport, id raft.NodeID, address string) *peer {
	ctx, cancel := context.WithCancel(t.ctx)
	return &peer{
		t:       t,
		id:      id,
		address: address,
		out:     newOutbox(t.opts.QueueBytes, t.opts.MaxFrameBytes),
		ctx:     ctx,
		cancel:  cancel,
	}
}

// run connects, and connects again, until the peer is forgotten.
func (p *peer) run() {
	pause := backoff{max: p.t.opts.MaxBackoff}
	for p.ctx.Err() == nil {
		began := time.Now()
		err := p.session()
		if p.ctx.Err() != nil {
			break
		}
		if time.Since(began) > p.t.opts.MaxBackoff {
			pause.reset()
		}
		p.report(err)
		select {
		case <-p.ctx.Done():
		case <-time.After(pause.pause()):
		}
	}
	p.drop(p.out.discard())
}

// session is one connection, from dialing to its end.
func (p *peer) session() error {
	l, release, err := p.t.dial(p.ctx, p.id, p.address, wire.ForMessages)
	if err != nil {
		p.t.counters.connectFailures.Add(1)
		return err
	}
	p.succeeded()

	silent := make(chan error, 1)
	go func() { silent <- p.listen(l) }()
	err = p.write(l, silent)
	release()
	heard := <-silent // it ends now that l is closed
	if errors.Is(err, net.ErrClosed) {
		err = heard // which had closed it
	}
	return err
}

// write writes what gathers, one batch at a time, until the connection ends.
func (p *peer) write(l *link, silent chan error) error {
	ping := time.NewTicker(wire.PingInterval)
	defer ping.Stop()
	pingFrame := wire.AppendFrame(nil, wire.KindPing, nil)
	var spare []byte
	idle := false
	for {
		select {
		case <-p.ctx.Done():
			return p.ctx.Err()
		case err := <-silent:
			silent <- err
			return err
		case <-ping.C:
			if idle {
				spare = nil
				p.out.trim()
			}
			idle = true
			if err := l.write(pingFrame, p.t.opts.PeerTimeout); err != nil {
				return err
			}
		case <-p.out.wake:
			idle = false
			if size := p.out.takeOversize(); size > 0 {
				p.t.log.Error("a message is larger than MaxFrameBytes, and can never be sent", zap.Uint64("peer", uint64(p.id)), zap.Int("bytes", size))
			}
			batch, messages := p.out.take(spare)
			if messages == 0 { // discarded, or none that fitted
				spare = p.out.release(batch)
				continue
			}
			err := l.write(batch, p.t.opts.PeerTimeout)
			bytes := len(batch)
			spare = p.out.release(batch)
			if err != nil {
				p.t.counters.messagesDropped.Add(uint64(messages))
				return err
			}
			p.t.counters.messagesSent.Add(uint64(messages))
			p.t.counters.bytesSent.Add(uint64(bytes))
			p.t.counters.writes.Add(1)
		}
	}
}

// listen waits for signs of life, and closes the connection when none comes.
func (p *peer) listen(l *link) error {
	defer l.close()
	for {
		f, err := l.next(p.t.opts.PeerTimeout)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("raft/tcp: node %d at %s has been silent for %v", p.id, p.address, p.t.opts.PeerTimeout)
		case err == io.EOF:
			return fmt.Errorf("raft/tcp: node %d at %s has closed the connection", p.id, p.address)
		case err != nil:
			return err
		case f.Kind != wire.KindAlive:
			return &protocolError{fmt.Sprintf("frame of kind %d where only signs of life are expected", f.Kind)}
		}
	}
}

// drop counts n dropped messages and has them reported.
func (p *peer) drop(n int) {
	if n > 0 {
		p.t.counters.messagesDropped.Add(uint64(n))
		p.t.notifier.unreachable(p.id)
	}
}

func (p *peer) succeeded() {
	p.mu.Lock()
	p.connected, p.err = true, nil
	p.mu.Unlock()
	p.t.counters.connects.Add(1)
	p.t.log.Info("connected to peer", zap.Uint64("peer", uint64(p.id)), zap.String("address", p.address))
}

// report says, to all who want to know, that a connection has ended or could
// not be made. What waits to be sent may wait for one attempt to connect, not
// longer. Of attempts only the first one that fails for a reason is logged.
func (p *peer) report(err error) {
	p.mu.Lock()
	broken := p.connected
	news := broken || p.err == nil || p.err.Error() != err.Error()
	p.connected, p.err = false, err
	p.mu.Unlock()
	if news {
		p.t.log.Warn("no connection to peer", zap.Uint64("peer", uint64(p.id)), zap.String("address", p.address), zap.Error(err))
	}
	if broken {
		p.t.notifier.unreachable(p.id)
	} else {
		p.drop(p.out.discard())
	}
}

func (p *peer) status() PeerStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PeerStatus{
		ID:          p.id,
		Address:     p.address,
		Connected:   p.connected,
		QueuedBytes: p.out.queuedBytes(),
		Err:         p.err,
	}
}
