package storagetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed-6281cb22/raft"
)

// checkCrash: of what was acknowledged nothing is lost, nothing is invented,
// and a write is there entirely or not at all, at whatever operation the power
// is cut.
func checkCrash(s *suite) {
	s.crashInFlight()
	if s.dev.CrashAfter == nil {
		return
	}
	const most = 100 // operations; the script needs fewer on most devices
	for n := 1; n <= most; n++ {
		s.newDevice()
		s.load()
		s.dev.CrashAfter(n)
		complete := s.script()
		s.crash()
		s.load()
		s.goesOn()
		if complete {
			return
		}
		s.close()
	}
}

// crashInFlight crashes with writes under way.
func (s *suite) crashInFlight() {
	for round := range raft.Index(10) {
		from := s.now().last() + 1
		p := s.save(write(raft.Term(round+1), from-1, entries(from, raft.Term(round+1), 3)...))
		for i := range raft.Index(5) {
			q := s.save(write(raft.Term(round+1), from-1, entries(from+3+i, raft.Term(round+1), 1)...))
			if i < round%5 {
				p = q
			}
		}
		s.durable(p)
		s.crash()
		s.load()
	}
}

// script does all that a replica does, and reports whether nothing failed.
func (s *suite) script() (complete bool) {
	var all []pending
	for i := raft.Index(1); i <= 3; i++ {
		all = append(all, s.save(write(1, 0, entries(3*i-2, 1, 3)...)))
	}
	all = append(all, s.save(write(2, 5, entries(7, 2, 2)...)))
	if !s.allDurable(all) {
		return false
	}
	if s.trySnapshot(raft.Snapshot{Index: 5, Term: 1}, snapshotData(5, 5000)) != nil || s.compact(5) != nil {
		return false
	}
	if !s.allDurable([]pending{s.save(write(3, 5, entries(7, 3, 1)...))}) {
		return false
	}
	if s.trySnapshot(raft.Snapshot{Index: 20, Term: 3, Membership: membership(1)}, snapshotData(20, 5000)) != nil {
		return false
	}
	w := write(3, 20, entries(21, 3, 2)...)
	w.Snapshot = &s.snapshots[len(s.snapshots)-1].Snapshot
	return s.allDurable([]pending{s.save(w), s.save(write(4, 22))})
}

func (s *suite) allDurable(all []pending) bool {
	s.Helper()
	ok := true
	for _, p := range all {
		ok = s.result(p) == nil && ok
	}
	return ok
}

// goesOn writes some more and expects to find it.
func (s *suite) goesOn() {
	s.Helper()
	c := s.now()
	s.saved(write(c.hardState.Term+1, c.floor(), entries(c.last()+1, c.hardState.Term+1, 2)...))
	s.restart()
}

// floor is the highest index that is known to be committed.
func (c content) floor() raft.Index { return max(c.hardState.Commit, c.snapshot.Index) }

// checkRandom does all of it in random order.
func checkRandom(s *suite) {
	for i := range s.o.Seeds {
		r := &random{suite: s, rng: rand.New(rand.NewPCG(s.o.FirstSeed+uint64(i), 0))}
		s.TB = seeded{s.TB, s.o.FirstSeed + uint64(i)}
		r.run()
		s.TB = s.TB.(seeded).TB
		s.close()
		s.newDevice()
		s.load()
	}
}

// random is a random run.
type random struct {
	*suite
	rng     *rand.Rand
	armed   bool // the power will be cut: calls may fail
	struck  bool // it was
	waiting []pending
}

const steps = 80

func (r *random) run() {
	r.Helper()
	for range steps {
		r.step()
		if r.struck {
			r.recoverFromCrash()
		}
	}
	r.await(len(r.waiting))
	if r.struck {
		r.recoverFromCrash()
	}
	if r.armed {
		r.crash() // it may strike in Close, too, which cannot say so
		r.armed = false
		r.load()
	}
	r.restart()
}

func (r *random) step() {
	r.Helper()
	switch n := r.rng.IntN(20); {
	case n < 9:
		r.write()
	case n < 11:
		r.await(r.rng.IntN(len(r.waiting) + 1))
	case n < 13:
		r.local()
	case n < 14:
		r.received()
	case n < 16:
		r.read()
	case n < 17 && !r.armed:
		r.await(len(r.waiting))
		r.restart()
	case n < 18 && r.dev.Crash != nil:
		r.recoverFromCrash()
	case n < 19 && r.dev.Crash != nil && r.dev.CrashAfter != nil && !r.armed:
		r.armed = true
		r.dev.CrashAfter(1 + r.rng.IntN(40))
	}
}

// failed takes note of an error, which only a crash may bring.
func (r *random) failed(err error, what string) bool {
	r.Helper()
	if err != nil && !r.armed {
		r.Fatalf("%s: %v", what, err)
	}
	r.struck = r.struck || err != nil
	return err != nil
}

// await waits for the first n of the writes under way.
func (r *random) await(n int) {
	r.Helper()
	for range n {
		p := r.waiting[0]
		r.waiting = r.waiting[1:]
		r.failed(r.result(p), "a write failed")
	}
}

func (r *random) write() {
	c := r.now()
	w := raft.Write{HardState: c.hardState}
	if r.rng.IntN(3) == 0 {
		w.HardState.Term += raft.Term(r.rng.IntN(3))
		w.HardState.Vote = raft.NodeID(r.rng.IntN(4))
		w.HardState.Unmarked = true
	}
	w.HardState.Term = max(w.HardState.Term, 1)
	first := c.last() + 1
	if first > c.floor()+1 && r.rng.IntN(3) == 0 {
		first -= raft.Index(r.rng.Uint64N(uint64(first - c.floor())))
		w.HardState.Term++ // another leader's
	}
	for range r.rng.IntN(6) {
		w.Entries = append(w.Entries, r.entry(first+raft.Index(len(w.Entries)), w.HardState.Term))
	}
	floor, last := c.floor(), c.write(w).last()
	w.HardState.Commit = floor + raft.Index(r.rng.Uint64N(uint64(last-floor+1)))
	r.waiting = append(r.waiting, r.save(w))
}

func (r *random) entry(index raft.Index, term raft.Term) raft.Entry {
	if r.rng.IntN(10) == 0 {
		return membershipEntry(index, term, 1, raft.NodeID(2+r.rng.IntN(5)))
	}
	e := entry(index, term)
	switch r.rng.IntN(10) {
	case 0:
		e.Data = nil
	case 1:
		e.Data = bytes.Repeat(e.Data, 1+r.rng.IntN(1000))
	}
	return e
}

// local takes a snapshot of committed entries, and compacts the log, or not.
func (r *random) local() {
	r.Helper()
	r.await(len(r.waiting))
	c := r.now()
	if r.struck || c.hardState.Commit <= c.snapshot.Index {
		return
	}
	index := c.hardState.Commit - raft.Index(r.rng.Uint64N(uint64(c.hardState.Commit-c.snapshot.Index)))
	term, _ := c.term(index)
	if r.failed(r.trySnapshot(raft.Snapshot{Index: index, Term: term}, snapshotData(index, r.rng.IntN(100_000))), "a snapshot") {
		return
	}
	if r.rng.IntN(2) == 0 {
		r.failed(r.compact(index-min(index-1, raft.Index(r.rng.IntN(3)))), "Compact")
	}
}

// received takes a snapshot from a leader, and installs it.
func (r *random) received() {
	r.Helper()
	r.await(len(r.waiting))
	if r.struck {
		return
	}
	c := r.now()
	meta := raft.Snapshot{
		Index: c.floor() + 1 + raft.Index(r.rng.IntN(10)), Term: c.hardState.Term + 1,
		Membership: membership(1, 2, 3), MembershipIndex: 1,
	}
	if r.failed(r.trySnapshot(meta, snapshotData(meta.Index, r.rng.IntN(100_000))), "a received snapshot") {
		return
	}
	w := raft.Write{HardState: c.hardState, Snapshot: &r.snapshots[len(r.snapshots)-1].Snapshot}
	w.HardState.Term, w.HardState.Commit = meta.Term, meta.Index
	r.waiting = append(r.waiting, r.save(w))
}

// read reads entries of what is durable.
func (r *random) read() {
	r.Helper()
	r.await(len(r.waiting))
	c := r.now()
	if r.struck || len(c.entries) == 0 {
		return
	}
	lo := c.first + raft.Index(r.rng.IntN(len(c.entries)))
	hi := lo + raft.Index(r.rng.Uint64N(uint64(c.last()-lo+2)))
	maxBytes := r.rng.IntN(5000)
	got, err := r.s.Entries(nil, lo, hi, maxBytes)
	if lo <= r.compacted && isErr(err, raft.ErrCompacted) || r.failed(err, "Entries") {
		return
	}
	want, taken := 0, 0
	for _, e := range c.entries[lo-c.first : hi-c.first] {
		if taken += len(e.Data); taken > maxBytes && want > 0 {
			break
		}
		want++
	}
	if len(got) != want {
		r.Fatalf("Entries from %d to %d, at most %d bytes: %d entries instead of %d", lo, hi, maxBytes, len(got), want)
	}
	for i := range got {
		if !sameEntry(got[i], c.entries[int(lo-c.first)+i]) {
			r.Fatalf("Entries from %d on: %s in the place of %s", lo, show(got[i]), show(c.entries[int(lo-c.first)+i]))
		}
	}
}

// recoverFromCrash crashes, and may do so again while the storage recovers.
func (r *random) recoverFromCrash() {
	r.Helper()
	r.crash()
	r.waiting, r.struck, r.armed = nil, false, false
	for r.dev.CrashAfter != nil && r.rng.IntN(2) == 0 {
		r.dev.CrashAfter(1 + r.rng.IntN(10))
		if storage, err := r.dev.Open(); err == nil {
			storage.Load() // may fail, or not
		}
		r.dev.Crash()
	}
	r.load()
}

// seeded says in a failure how to repeat the run.
type seeded struct {
	testing.TB
	seed uint64
}

func (s seeded) Fatalf(format string, args ...any) {
	s.TB.Helper()
	s.TB.Fatalf("with FirstSeed %d: %s", s.seed, fmt.Sprintf(format, args...))
}

func (s seeded) Fatal(args ...any) {
	s.TB.Helper()
	s.TB.Fatalf("with FirstSeed %d: %s", s.seed, fmt.Sprint(args...))
}
