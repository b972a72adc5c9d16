package transporttest

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

// checkSnapshot: a snapshot arrives whatever its size, with all fields of its
// message, and wherever the body stands before.
func checkSnapshot(s *suite) {
	a, b := s.pair()
	for _, size := range []int64{0, 1, 1000, 1<<16 - 1, 1 << 16, 1<<18 + 1, 3<<20 + 7} {
		s.ok(a.sendSnapshot(2, size).wait(), "SendSnapshot")
	}
	for range 3 {
		s.ok(b.sendSnapshot(1, 5000).wait(), "SendSnapshot")
	}
	s.ok(a.sendBody(s.snapshotOf(a, 2, 1000), func(c *content) { c.at = 300 }).wait(), "SendSnapshot of a body that stands in the middle")

	full := raft.Message{Type: raftpb.InstallSnapshot, From: 1, To: 2}
	fields := reflect.ValueOf(&full).Elem()
	for i := range fields.NumField() {
		switch fields.Type().Field(i).Name {
		case "Type", "From", "To":
		default:
			fill(fields.Field(i), uint64(i))
		}
	}
	full.Snapshot.Size, full.Context = 100, s.number()
	s.ok(a.sendBody(full, nil).wait(), "SendSnapshot of a message with all fields")
	s.mu.Lock()
	accepted := b.accepted[len(b.accepted)-1]
	s.mu.Unlock()
	if fingerprintOf(&accepted) != fingerprintOf(&full) {
		s.Fatalf("not all fields of a snapshot's message arrived: %s", describe(&accepted))
	}

	none := full
	none.Snapshot = nil
	s.returns("SendSnapshot of a message without a Snapshot", func() {
		s.fails(a.transport.SendSnapshot(context.Background(), none, strings.NewReader("")), "SendSnapshot of a message without a Snapshot")
	})
}

// checkSnapshotAnswer: SendSnapshot returns what the receiver's Handler has
// said, when that has said it.
func checkSnapshotAnswer(s *suite) {
	a, b := s.pair()
	s.reach(b, a)
	for what, handle := range map[string]func(raft.Message, io.Reader) error{
		"at once": func(raft.Message, io.Reader) error { return errors.New("no room for it") },
		"in between": func(_ raft.Message, r io.Reader) error {
			io.CopyN(io.Discard, r, 1000)
			return errors.New("no room for it")
		},
		"at the end": func(m raft.Message, r io.Reader) error { readAll(m, r); return errors.New("no room for it") },
	} {
		b.handles(handle)
		for _, size := range []int64{0, 3000, 5 << 20} {
			err := a.sendSnapshot(2, size).wait()
			if err == nil || !strings.Contains(err.Error(), "no room for it") {
				s.Fatalf("a Handler refused a snapshot %s, and SendSnapshot returned: %v", what, err)
			}
		}
	}
	b.handles(func(raft.Message, io.Reader) error { return nil }) // it has it already
	s.ok(a.sendSnapshot(2, 3000).wait(), "SendSnapshot, accepted unread")
	s.ok(a.sendSnapshot(2, 5<<20).wait(), "SendSnapshot, accepted unread")

	// All is sent, and the receiver takes its time: until messages have gone
	// to and fro.
	read, free := &flag{s: s}, s.newGate()
	b.handles(func(m raft.Message, r io.Reader) error {
		err := readAll(m, r)
		read.raise()
		free.pass()
		return err
	})
	t := a.sendSnapshot(2, 3000)
	read.await("all of the snapshot is read")
	for range 5 {
		s.reach(a, b)
		s.reach(b, a)
	}
	s.mu.Lock()
	early := t.over
	s.mu.Unlock()
	free.open()
	if early {
		s.Fatalf("SendSnapshot returned before the receiver's Handler had")
	}
	s.ok(t.wait(), "SendSnapshot")
}

// install sends snapshots until one is accepted: as long as the receiver is
// busy with one that the sender knows to have failed, it may refuse another.
func (s *suite) install(a *host, to raft.NodeID, size int64) {
	s.Helper()
	deadline := time.Now().Add(s.o.Patience)
	for err := errors.New("none"); err != nil; {
		if err = a.sendSnapshot(to, size).wait(); err != nil && time.Now().After(deadline) {
			s.Fatalf("no snapshot is accepted by node %d: %v", to, err)
		}
	}
}

// checkSnapshotSize: a body that is too short fails, for both sides; of one
// that is too long no more than the announced size is delivered.
func checkSnapshotSize(s *suite) {
	a, b := s.pair()
	for _, size := range []int64{1, 1000, 1 << 20} {
		for _, handle := range []func(raft.Message, io.Reader) error{
			readAll,
			func(m raft.Message, r io.Reader) error { readAll(m, r); return nil }, // who overlooks it
		} {
			b.handles(handle)
			t := a.sendBody(s.snapshotOf(a, 2, size), func(c *content) { c.size-- })
			s.fails(t.wait(), "SendSnapshot of a body that is too short")
		}
		b.handles(readAll)
		t := a.sendBody(s.snapshotOf(a, 2, size), func(c *content) { c.size += 1000 })
		t.wait() // with an error or not
	}
	s.install(a, 2, 1000)
}

// checkSnapshotBody: a body that cannot be read fails, for both sides.
func checkSnapshotBody(s *suite) {
	a, b := s.pair()
	broken := errors.New("the disk is broken")
	for _, overlooks := range []bool{false, true} {
		b.handles(func(m raft.Message, r io.Reader) error {
			err := readAll(m, r)
			if overlooks {
				return nil
			}
			return err
		})
		for _, at := range []int64{0, 1, 1000, 1 << 20} {
			t := a.sendBody(s.snapshotOf(a, 2, 2<<20), func(c *content) { c.readErr, c.failAt = broken, at })
			s.fails(t.wait(), "SendSnapshot of a body that cannot be read")
		}
		if !overlooks {
			t := a.sendBody(s.snapshotOf(a, 2, 1000), func(c *content) { c.seekErr, c.at = broken, 500 })
			s.fails(t.wait(), "SendSnapshot of a body that cannot seek")
		}
	}
	b.handles(readAll)
	s.install(a, 2, 1000)
}

// checkSnapshotCancel: SendSnapshot returns when its context ends, wherever it
// is; the receiver sees an error, not an end.
func checkSnapshotCancel(s *suite) {
	a, b, unstarted := s.join(1), s.join(2), s.open(3, nil)
	a.know(b)
	a.know(unstarted)
	cancelled := func(t *transfer) {
		t.cancel()
		if err := t.wait(); !errors.Is(err, context.Canceled) {
			s.Fatalf("SendSnapshot was cancelled, and returned: %v", err)
		}
	}
	// While the receiver takes its time.
	started, free := &flag{s: s}, s.newGate()
	b.handles(func(_ raft.Message, r io.Reader) error {
		started.raise()
		free.pass()
		_, err := io.Copy(io.Discard, r)
		if err == nil {
			b.s.mu.Lock()
			b.s.violated("a snapshot of 32 MiB that was cancelled before any of it was read could be read to its end")
			b.s.mu.Unlock()
		}
		return err
	})
	t := a.sendSnapshot(2, 32<<20)
	started.await("DeliverSnapshot")
	cancelled(t)
	free.open()
	s.await("DeliverSnapshot ends", func() bool { return b.running == 0 })

	// While data flows.
	b.handles(readAll)
	t = a.sendSnapshot(2, 1<<40)
	s.await("the body is read", func() bool { return t.body.started })
	cancelled(t)
	s.await("DeliverSnapshot ends", func() bool { return b.running == 0 })

	// After all of it was read.
	read, free := &flag{s: s}, s.newGate()
	b.handles(func(m raft.Message, r io.Reader) error {
		readAll(m, r)
		read.raise()
		free.pass()
		return errors.New("too late")
	})
	t = a.sendSnapshot(2, 1000)
	read.await("all of the snapshot is read")
	cancelled(t)
	free.open()

	// Before it has begun.
	t = a.sendSnapshot(3, 1000)
	t.cancel()
	s.fails(t.wait(), "SendSnapshot to a node that has not started, cancelled")
	b.handles(nil)
	s.install(a, 2, 1000)
}

// checkSnapshotNobody: a snapshot for a node that is not there is an error, at
// once.
func checkSnapshotNobody(s *suite) {
	a, gone := s.join(1), s.open(3, nil)
	gone.close()
	s.fails(a.sendSnapshot(2, 1000).wait(), "SendSnapshot to a node that is not known")
	a.know(gone)
	s.fails(a.sendSnapshot(3, 1000).wait(), "SendSnapshot to a node that is not there")
	a.close()
	err := a.sendSnapshot(3, 1000).wait()
	if !errors.Is(err, raft.ErrClosed) {
		s.Fatalf("SendSnapshot after Close returned: %v", err)
	}
}

// checkSnapshotClose: Close of either side ends a snapshot that is under way,
// and that of the sender does not wait for the receiver's Handler.
func checkSnapshotClose(s *suite) {
	for _, closer := range []raft.NodeID{1, 2} {
		a, b := s.pair()
		t := a.sendSnapshot(2, 1<<40)
		s.await("DeliverSnapshot, and the body is read", func() bool { return b.running > 0 && t.body.started })
		if closer == 1 {
			a.close()
		} else {
			b.close()
		}
		err := t.wait()
		s.fails(err, "SendSnapshot, when a transport was closed in the middle of it,")
		if closer == 1 && !errors.Is(err, raft.ErrClosed) {
			s.Fatalf("SendSnapshot when its transport was closed returned: %v", err)
		}
		s.renew()
	}
	a, b := s.pair()
	read, free := &flag{s: s}, s.newGate()
	b.handles(func(m raft.Message, r io.Reader) error {
		err := readAll(m, r)
		read.raise()
		free.pass()
		return err
	})
	t := a.sendSnapshot(2, 1000)
	read.await("all of the snapshot is read")
	a.close()
	s.fails(t.wait(), "SendSnapshot, when its transport was closed before it was accepted,")
	free.open()
}

// checkSnapshotConcurrent: snapshots go both ways at once, and to others, and
// messages beside them.
func checkSnapshotConcurrent(s *suite) {
	a, b, c := s.join(1), s.join(2), s.join(3)
	all := []*host{a, b, c}
	for _, h := range all {
		for _, other := range all {
			if h != other {
				h.know(other)
			}
		}
	}
	begun, free := 0, s.newGate()
	for _, h := range all {
		h.handles(func(m raft.Message, r io.Reader) error {
			s.mu.Lock()
			begun++
			s.happened()
			s.mu.Unlock()
			free.pass()
			return readAll(m, r)
		})
	}
	transfers := []*transfer{
		a.sendSnapshot(2, 3<<20), b.sendSnapshot(3, 2<<20), c.sendSnapshot(1, 1<<20), b.sendSnapshot(1, 4<<20),
	}
	s.await("all four snapshots begin", func() bool { return begun == len(transfers) })
	for range 10 {
		s.reach(a, b)
		s.reach(b, c)
		s.reach(c, a)
	}
	free.open()
	for _, t := range transfers {
		s.ok(t.wait(), "one of several SendSnapshot at once")
	}
}

// checkSnapshotSlow: DeliverSnapshot may take longer than a peer may be silent,
// while there is more to read and at the end.
func checkSnapshotSlow(s *suite) {
	a, b := s.pair()
	long := s.o.Silence + s.o.Silence/8
	var transfers []*transfer
	for _, at := range []int64{10_000, 32 << 20} {
		b.handles(func(_ raft.Message, r io.Reader) error {
			if _, err := io.CopyN(io.Discard, r, at); err != nil {
				return err
			}
			<-time.After(long) // the Handler's work
			_, err := io.Copy(io.Discard, r)
			return err
		})
		t := a.sendSnapshot(2, 32<<20)
		s.await("DeliverSnapshot", func() bool { return t.letter.received })
		transfers = append(transfers, t)
	}
	for _, t := range transfers {
		s.ok(t.wait(), "SendSnapshot to a Handler that takes its time")
	}
}

// checkSnapshotLarge: a large snapshot is never in memory as a whole.
func checkSnapshotLarge(s *suite) {
	const size, limit = 64 << 20, 24 << 20
	a, b := s.pair()
	s.reach(a, b)
	before := heap()
	b.handles(func(m raft.Message, r io.Reader) error {
		for range 4 {
			if _, err := io.CopyN(io.Discard, r, size/4); err != nil {
				return err
			}
			if grown := heap() - before; grown > limit {
				return errors.New("too much memory")
			}
		}
		_, err := io.Copy(io.Discard, r)
		return err
	})
	s.ok(a.sendSnapshot(2, size).wait(), "SendSnapshot of 64 MiB")
}
