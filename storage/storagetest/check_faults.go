package storagetest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-6281cb22/raft"
)

// checkConcurrent: entries and snapshots are read while writes, compaction and
// new snapshots are under way. The race detector sees more of it.
func checkConcurrent(s *suite) {
	const total, window = 600, 20
	var durable, compacted atomic.Uint64
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for id := range uint64(2) {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(id, 1))
			for last := uint64(0); ; {
				select {
				case <-stop:
					return
				default:
				}
				if now := durable.Load(); now > 0 && now != last || last > 0 {
					last = now
					s.readConcurrently(rng, raft.Index(now), &compacted)
				}
			}
		})
	}
	var waiting []pending
	for i := raft.Index(1); i <= total && !s.Failed(); i++ {
		waiting = append(waiting, s.save(write(1, raft.Index(durable.Load()), entry(i, 1))))
		if len(waiting) == window {
			s.durable(waiting[0])
			waiting = waiting[1:]
			durable.Store(uint64(i) - window + 1)
		}
		if at := raft.Index(durable.Load()); i%60 == 0 {
			s.snapshot(raft.Snapshot{Index: at, Term: 1}, snapshotData(at, 10_000))
			compacted.Store(uint64(at) - 10)
			s.ok(s.compact(at-10), "Compact")
		}
	}
	close(stop)
	readers.Wait()
	s.durable(waiting...)
	s.restart()
}

// readConcurrently reads something of what is durable. It is not the test's
// goroutine, so it does not end the test.
func (s *suite) readConcurrently(rng *rand.Rand, durable raft.Index, compacted *atomic.Uint64) {
	lo := 1 + raft.Index(rng.Uint64N(uint64(durable)))
	hi := lo + 1 + raft.Index(rng.Uint64N(uint64(durable-lo+1)))
	got, err := s.s.Entries(nil, lo, hi, 1000)
	switch {
	case isErr(err, raft.ErrCompacted) && lo <= raft.Index(compacted.Load()):
	case err != nil:
		s.Errorf("Entries from %d on, beside writes: %v", lo, err)
	case len(got) == 0:
		s.Errorf("Entries from %d on, beside writes: none", lo)
	}
	for i, e := range got {
		if !sameEntry(e, entry(lo+raft.Index(i), 1)) {
			s.Errorf("Entries from %d on, beside writes: %s in the place of %d", lo, show(e), lo+raft.Index(i))
		}
	}
	early := compacted.Load() == 0 // before the call: during it the first one may be committed
	snapshot, r, err := s.s.OpenSnapshot()
	if isErr(err, raft.ErrNoSnapshot) && early {
		return
	}
	if err != nil {
		s.Errorf("OpenSnapshot, beside writes: %v", err)
		return
	}
	defer r.Close()
	if data, err := io.ReadAll(r); err != nil || !bytes.Equal(data, snapshotData(snapshot.Index, 10_000)) {
		s.Errorf("the snapshot at %d, beside writes: %d bytes that are not its own, %v", snapshot.Index, len(data), err)
	}
}

// checkStall: Save does not wait for a device that hangs, and nothing is
// reported durable meanwhile.
func checkStall(s *suite) {
	s.saved(write(1, 0, entries(1, 1, 3)...))
	resume := s.dev.Stall()
	var all []pending
	saved := make(chan struct{})
	go func() {
		defer close(saved)
		for i := raft.Index(4); i <= 50; i++ {
			all = append(all, s.save(write(1, 0, entry(i, 1))))
		}
	}()
	select {
	case <-saved:
	case <-time.After(s.o.Patience):
		resume()
		<-saved
		s.Fatal("Save waits for a device that hangs")
	}
	s.life.mu.Lock()
	completed := s.life.completed
	s.life.mu.Unlock()
	resume()
	if completed > 1 {
		s.Fatal("a write was reported durable while the device hung")
	}
	s.durable(all...)
	s.restart()
}

// checkFailure: the first failure is the end: all later writes fail too, and
// nothing of them is found in place of what was durable.
func checkFailure(s *suite) {
	s.saved(write(1, 0, entries(1, 1, 5)...))
	s.saved(write(2, 2, entries(4, 2, 2)...))
	s.dev.FailWrites()
	var all []pending
	for term := raft.Term(3); term < 20; term++ {
		all = append(all, s.save(write(term, 2, entries(3, term, 1)...)))
	}
	for _, p := range all {
		if s.result(p) == nil {
			s.Fatal("a write to a device that fails was reported durable")
		}
	}
	s.close()
	s.load()
	if s.acked = 0; s.now().hardState.Term < 2 {
		s.Fatal("a write that was durable is lost after a later one failed")
	}
	s.saved(write(30, 2, entries(3, 30, 3)...))
	s.restart()
}

// checkDamage: what is damaged is refused with a *raft.CorruptError, by Open,
// by Load, or when it is read. It is never returned, and a log that lacks it is
// not presented as whole.
func checkDamage(s *suite) {
	for _, damaged := range []raft.Index{1, 4, 9} {
		s.saved(write(1, 0, entries(1, 1, 6)...))
		s.saved(write(1, 6, entries(7, 1, 3)...))
		s.flip(entryData(damaged, 1))
		if s.refusedAtStart() {
			s.newDevice()
			s.load()
			continue
		}
		for i := raft.Index(1); i <= 9; i++ {
			got, err := s.s.Entries(nil, i, i+1, 1<<20)
			if err == nil && (len(got) != 1 || !sameEntry(got[0], entry(i, 1))) {
				s.Fatalf("with damage to entry %d: entry %d is %s", damaged, i, showAll(got))
			}
			if err != nil && (i != damaged || !isCorrupt(err)) {
				s.Fatalf("with damage to entry %d: reading %d: %v", damaged, i, err)
			}
		}
		s.close()
		s.newDevice()
		s.load()
	}
	s.saved(write(1, 0, entries(1, 1, 6)...))
	s.saved(write(1, 6))
	data := append(snapshotData(5, 150_000), "the end"...)
	s.snapshot(raft.Snapshot{Index: 5, Term: 1}, data)
	s.flip([]byte("the end"))
	if s.refusedAtStart() {
		return
	}
	defer s.close()
	_, r, err := s.s.OpenSnapshot()
	if err != nil {
		if !isCorrupt(err) {
			s.Fatalf("OpenSnapshot of a damaged one: %v instead of a *raft.CorruptError", err)
		}
		return
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, data) || !bytes.HasPrefix(data, got) {
		s.Fatal("a damaged snapshot is read without an error")
	}
	if err != nil && !isCorrupt(err) {
		s.Fatalf("reading a damaged snapshot: %v instead of a *raft.CorruptError", err)
	}
}

func isCorrupt(err error) bool {
	var corrupt *raft.CorruptError
	return errors.As(err, &corrupt)
}

// flip closes the storage and damages the device.
func (s *suite) flip(data []byte) {
	s.Helper()
	s.close()
	if s.dev.Damage(data) == 0 {
		s.Fatalf("Device.Damage has not found %q", data)
	}
}

// refusedAtStart opens a damaged storage, and reports whether that, or Load,
// refuses it. Otherwise the log must seem as long as it was.
func (s *suite) refusedAtStart() bool {
	s.Helper()
	storage, err := s.dev.Open()
	if err == nil {
		s.s, s.life = storage, &life{patience: s.o.Patience}
		var state raft.State
		if state, err = storage.Load(); err == nil {
			if want := s.now(); state.Last != want.last() || state.HardState != want.hardState {
				s.Fatalf("a damaged log is presented as whole, with the entries %d to %d: %+v", state.First, state.Last, state)
			}
			return false
		}
		s.close()
	}
	if !isCorrupt(err) {
		s.Fatalf("a damaged storage: %v instead of a *raft.CorruptError", err)
	}
	return true
}
