package tcp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// sender sends the messages of one lane to one peer, on a connection that it
// makes, and makes again.
type sender struct {
	*peer
	lane  laneID
	out   *outbox
	retry chan struct{} // ends the pause before the next attempt to connect

	mu        sync.Mutex
	connected bool
	err       error
}

func newSender(p *peer, lane laneID) *sender {
	queue, frame := p.t.opts.QueueBytes, p.t.opts.MaxFrameBytes
	if lane == urgentLane {
		queue, frame = min(queue, urgentQueueBytes), wire.MaxUrgentBytes
	}
	return &sender{peer: p, lane: lane, out: newOutbox(queue, frame), retry: make(chan struct{}, 1)}
}

// run connects, and connects again, until the peer is forgotten.
func (s *sender) run() {
	pause := backoff{max: s.t.opts.MaxBackoff}
	for s.ctx.Err() == nil {
		began := time.Now()
		err := s.session()
		if s.ctx.Err() != nil {
			break
		}
		if time.Since(began) > s.t.opts.MaxBackoff {
			pause.reset()
		}
		s.report(err)
		timer := time.NewTimer(pause.pause())
		select {
		case <-s.ctx.Done():
		case <-timer.C:
		case <-s.retry:
		}
		timer.Stop()
	}
	s.drop(s.out.discard())
	if s.disconnected() {
		s.t.notifier.unreachable(s.id) // what was on its way may be lost, too
	}
}

// disconnected notes that there is no connection any more, and says whether
// there was one.
func (s *sender) disconnected() (before bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.connected = s.connected, false
	return before
}

// retryNow ends the pause before the next attempt, if there is no connection.
func (s *sender) retryNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connected {
		return
	}
	select {
	case s.retry <- struct{}{}:
	default:
	}
}

// session is one connection, from dialing to its end.
func (s *sender) session() error {
	l, release, err := s.t.dial(s.ctx, s.id, s.address, s.lane.purpose())
	if err != nil {
		s.t.counters.connectFailures.Add(1)
		return err
	}
	s.succeeded()

	silent := make(chan error, 1)
	go func() { silent <- s.listen(l) }()
	err = s.write(l, silent)
	release()
	heard := <-silent // it ends now that l is closed
	if errors.Is(err, net.ErrClosed) {
		err = heard // which had closed it
	}
	return err
}

// write writes what gathers, one batch at a time, until the connection ends.
func (s *sender) write(l *link, silent chan error) error {
	ping := time.NewTicker(wire.PingInterval)
	defer ping.Stop()
	pingFrame := wire.AppendFrame(nil, wire.KindPing, nil)
	var spare [][]byte
	idle := false
	for {
		select {
		case <-s.ctx.Done():
			return s.ctx.Err()
		case err := <-silent:
			silent <- err
			return err
		case <-ping.C:
			if idle {
				s.out.trim()
			}
			idle = true
			if err := l.write(pingFrame, s.t.opts.PeerTimeout); err != nil {
				return err
			}
		case <-s.out.wake:
			idle = false
			if size := s.out.takeOversize(); size > 0 {
				s.t.log.Error("a message is larger than MaxFrameBytes, and can never be sent", zap.Uint64("peer", uint64(s.id)), zap.Int("bytes", size))
			}
			chunks, messages := s.out.take(spare)
			if messages == 0 { // discarded, or none that fitted
				spare = chunks
				continue
			}
			bytes, err := s.writeChunks(l, chunks)
			clear(chunks)
			spare = chunks
			if err != nil {
				s.t.counters.messagesDropped.Add(uint64(messages))
				return err
			}
			s.t.counters.messagesSent.Add(uint64(messages))
			s.t.counters.bytesSent.Add(uint64(bytes))
			s.t.counters.writes.Add(1)
		}
	}
}

// writeChunks writes chunks, and releases them all even when that fails.
func (s *sender) writeChunks(l *link, chunks [][]byte) (bytes int, err error) {
	for _, chunk := range chunks {
		if err == nil {
			err = l.write(chunk, s.t.opts.PeerTimeout)
		}
		bytes += len(chunk)
		s.out.release(chunk)
	}
	return bytes, err
}

// listen waits for signs of life, and closes the connection when none comes.
func (s *sender) listen(l *link) error {
	defer l.close()
	for {
		f, err := l.next(s.t.opts.PeerTimeout)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("raft/tcp: node %d at %s has been silent for %v", s.id, s.address, s.t.opts.PeerTimeout)
		case err == io.EOF:
			return fmt.Errorf("raft/tcp: node %d at %s has closed the connection", s.id, s.address)
		case err != nil:
			return err
		case f.Kind != wire.KindAlive:
			return &protocolError{fmt.Sprintf("frame of kind %d where only signs of life are expected", f.Kind)}
		}
	}
}

// drop counts n dropped messages and has them reported.
func (s *sender) drop(n int) {
	if n > 0 {
		s.t.counters.messagesDropped.Add(uint64(n))
		s.t.notifier.unreachable(s.id)
	}
}

func (s *sender) succeeded() {
	s.mu.Lock()
	s.connected, s.err = true, nil
	select {
	case <-s.retry: // it has been reached
	default:
	}
	s.mu.Unlock()
	s.t.counters.connects.Add(1)
	s.t.log.Info("connected to peer", s.fields()...)
}

// report says, to all who want to know, that a connection has ended or could
// not be made. What waits to be sent may wait for one attempt to connect, not
// longer. Of attempts only the first one that fails for a reason is logged.
func (s *sender) report(err error) {
	s.mu.Lock()
	broken := s.connected
	news := broken || s.err == nil || s.err.Error() != err.Error()
	s.connected, s.err = false, err
	s.mu.Unlock()
	if news {
		s.t.log.Warn("no connection to peer", append(s.fields(), zap.Error(err))...)
	}
	if broken {
		s.t.notifier.unreachable(s.id)
	} else {
		s.drop(s.out.discard())
	}
}

func (s *sender) fields() []zap.Field {
	return []zap.Field{zap.Uint64("peer", uint64(s.id)), zap.String("address", s.address), zap.Stringer("lane", s.lane)}
}

func (s *sender) status() (connected bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connected, s.err
}
