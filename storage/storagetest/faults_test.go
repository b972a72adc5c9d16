package storagetest_test

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/seed-6281cb22/raft"
)

var faults = []fault{
	{what: "empty storage begins at 0", finds: "Empty", wrap: wrongLoad(func(s *raft.State) {
		if s.Last == 0 {
			s.First = 0
		}
	})},
	{what: "an empty snapshot for none", finds: "Empty", wrap: func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, open: func() (raft.Snapshot, io.ReadSeekCloser, error) {
			snapshot, r, err := s.OpenSnapshot()
			if errors.Is(err, raft.ErrNoSnapshot) {
				return raft.Snapshot{}, noData{bytes.NewReader(nil)}, nil
			}
			return snapshot, r, err
		}}
	}},

	{what: "forgets the vote", finds: "Load", wrap: wrongSave(func(w *raft.Write) { w.HardState.Vote = 0 })},
	{what: "keeps the vote of an earlier term", finds: "Load", wrap: func() func(raft.Storage) raft.Storage {
		vote := raft.NodeID(0)
		return wrongSave(func(w *raft.Write) {
			if w.HardState.Vote != 0 {
				vote = w.HardState.Vote
			}
			w.HardState.Vote = vote
		})
	}()},
	{what: "forgets a write without entries", finds: "Load", wrap: func(s raft.Storage) raft.Storage {
		last := raft.HardState{}
		return &wrong{Storage: s, save: func(w raft.Write, done func(error)) {
			if len(w.Entries) == 0 && w.Snapshot == nil {
				w.HardState = last
			}
			last = w.HardState
			s.Save(w, done)
		}}
	}},
	{what: "forgets whose it is", finds: "Load", wrap: wrongSave(func(w *raft.Write) { w.Identity = raft.Identity{} })},
	{what: "forgets the founding membership", finds: "Load", wrap: wrongSave(func(w *raft.Write) {
		if w.Snapshot != nil && w.Snapshot.Index == 0 {
			w.Snapshot = nil
		}
	})},
	{what: "forgets the origin of entries", finds: "Load", wrap: wrongSave(func(w *raft.Write) {
		w.Entries = changed(w.Entries, func(e *raft.Entry) { e.Origin = raft.Entry{}.Origin })
	})},
	{what: "forgets the type of entries", finds: "Load", wrap: wrongSave(func(w *raft.Write) {
		w.Entries = changed(w.Entries, func(e *raft.Entry) { e.Type = raft.EntryCommand })
	})},
	{what: "drops the last entry", finds: "Load", wrap: wrongSave(func(w *raft.Write) {
		if n := len(w.Entries); n > 1 {
			w.Entries = w.Entries[:n-1]
		}
	})},

	{what: "done within Save", finds: "Done", wrap: func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, save: func(w raft.Write, done func(error)) { done(wait(s, w)) }}
	}},
	{what: "done out of order", finds: "Done", wrap: wrongDone(func() func(int, func(error), error) {
		var held func(error)
		return func(number int, done func(error), err error) {
			if number%10 == 0 {
				held = done
				return
			}
			done(err)
			if held != nil {
				held(err)
				held = nil
			}
		}
	})},
	{what: "done twice", finds: "Done", wrap: wrongDone(func() func(int, func(error), error) {
		return func(number int, done func(error), err error) {
			done(err)
			if number == 150 {
				done(err)
			}
		}
	})},
	{what: "no done", finds: "Done", wrap: wrongDone(func() func(int, func(error), error) {
		return func(number int, done func(error), err error) {
			if number != 300 {
				done(err)
			}
		}
	})},
	{what: "no done after Close", finds: "Done", wrap: wrongDone(func() func(int, func(error), error) {
		return func(number int, done func(error), err error) {
			if number != 400 {
				done(err)
			}
		}
	})},

	{what: "keeps the slice that Save was given", finds: "Ownership", wrap: func(s raft.Storage) raft.Storage {
		var kept []raft.Entry
		return &wrong{
			Storage: s,
			save: func(w raft.Write, done func(error)) {
				kept = w.Entries
				s.Save(w, done)
			},
			entries: func(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
				if kept == nil {
					return s.Entries(buf, lo, hi, maxBytes)
				}
				return append(buf, kept[lo-1:hi-1]...), nil
			},
		}
	}},
	{what: "returns a slice of its own", finds: "Ownership", wrap: func(s raft.Storage) raft.Storage {
		var cache []raft.Entry
		return &wrong{Storage: s, entries: func(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
			if len(cache) > 0 {
				return cache, nil
			}
			var err error
			cache, err = s.Entries(nil, lo, hi, maxBytes)
			return cache, err
		}}
	}},

	{what: "keeps the replaced suffix", finds: "Suffix", wrap: func(s raft.Storage) raft.Storage {
		var log []raft.Entry
		return &wrong{Storage: s, save: func(w raft.Write, done func(error)) {
			if n := len(w.Entries); n > 0 {
				for _, e := range log {
					if e.Index > w.Entries[n-1].Index {
						w.Entries = append(w.Entries, e)
					}
				}
				log = append(log[:min(len(log), int(w.Entries[0].Index-1))], w.Entries...)
			}
			s.Save(w, done)
		}}
	}},
	{what: "takes an entry that it once held for one that it holds", finds: "SuffixInFlight", wrap: func(s raft.Storage) raft.Storage {
		held := map[raft.TermRun]bool{}
		return &wrong{Storage: s, save: func(w raft.Write, done func(error)) {
			for len(w.Entries) > 0 && held[raft.TermRun{First: w.Entries[0].Index, Term: w.Entries[0].Term}] {
				w.Entries = w.Entries[1:]
			}
			for _, e := range w.Entries {
				held[raft.TermRun{First: e.Index, Term: e.Term}] = true
			}
			s.Save(w, done)
		}}
	}},

	{what: "lacks the last term", finds: "Terms", wrap: wrongLoad(func(s *raft.State) {
		if n := len(s.Runs); n > 1 {
			s.Runs = s.Runs[:n-1]
		}
	})},
	{what: "a run for each entry", finds: "Terms", wrap: wrongLoad(func(s *raft.State) {
		var runs []raft.TermRun
		for i, run := range s.Runs {
			runs = append(runs, run)
			if i == len(s.Runs)-1 && run.First < s.Last {
				runs = append(runs, raft.TermRun{First: run.First + 1, Term: run.Term})
			}
		}
		s.Runs = runs
	})},

	{what: "lacks the memberships", finds: "Memberships", wrap: wrongLoad(func(s *raft.State) { s.Memberships = nil })},
	{what: "has those that the snapshot covers", finds: "Memberships", wrap: wrongLoad(func(s *raft.State) {
		if s.Snapshot.MembershipIndex >= s.First {
			first := raft.MembershipAt{Index: s.Snapshot.MembershipIndex, Membership: s.Snapshot.Membership}
			s.Memberships = append([]raft.MembershipAt{first}, s.Memberships...)
		}
	})},

	{what: "a byte more than maxBytes", finds: "Entries", wrap: func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, entries: func(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
			return s.Entries(buf, lo, hi, maxBytes+1)
		}}
	}},
	{what: "a byte less than maxBytes", finds: "Entries", wrap: func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, entries: func(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
			return s.Entries(buf, lo, hi, maxBytes-1)
		}}
	}},
	{what: "nothing that is larger than maxBytes", finds: "Entries", wrap: func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, entries: func(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
			all, err := s.Entries(buf, lo, hi, maxBytes)
			if n := len(buf); len(all) == n+1 && len(all[n].Data) > maxBytes {
				all = all[:n]
			}
			return all, err
		}}
	}},
	{what: "does not append", finds: "Entries", wrap: func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, entries: func(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
			return s.Entries(buf[:0], lo, hi, maxBytes)
		}}
	}},

	{what: "forgets one too many", finds: "Compact", wrap: func(s raft.Storage) raft.Storage {
		compacted := raft.Index(0)
		return &wrong{
			Storage: s,
			compact: func(through raft.Index) error {
				compacted = max(compacted, through+1)
				return s.Compact(through)
			},
			entries: func(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
				if compacted > 1 && lo <= compacted {
					return buf, raft.ErrCompacted
				}
				return s.Entries(buf, lo, hi, maxBytes)
			},
		}
	}},
	{what: "nothing instead of ErrCompacted", finds: "Compact", wrap: func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, entries: func(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
			all, err := s.Entries(buf, lo, hi, maxBytes)
			if errors.Is(err, raft.ErrCompacted) {
				err = nil
			}
			return all, err
		}}
	}},

	{what: "visible before Commit", finds: "SnapshotCommit", wrap: wrongSnapshot(func(_ raft.Storage, w *wrongWriter) {
		w.write = func(b []byte) (int, error) {
			n, err := w.SnapshotWriter.Write(b)
			return n, errors.Join(err, w.SnapshotWriter.Commit())
		}
		w.commit = func() error { return nil }
	})},
	{what: "Close commits", finds: "SnapshotCommit", wrap: wrongSnapshot(func(_ raft.Storage, w *wrongWriter) {
		w.close = func() error { return errors.Join(w.SnapshotWriter.Commit(), w.SnapshotWriter.Close()) }
	})},
	{what: "drops the last byte", finds: "SnapshotCommit", wrap: wrongSnapshot(func(_ raft.Storage, w *wrongWriter) {
		w.write = func(b []byte) (int, error) {
			_, err := w.SnapshotWriter.Write(b[:len(b)-1])
			return len(b), err
		}
	})},
	{what: "counts a byte too few", finds: "SnapshotCommit", wrap: wrongSnapshot(func(_ raft.Storage, w *wrongWriter) {
		w.write = func(b []byte) (int, error) {
			n, err := w.SnapshotWriter.Write(b)
			return n - 1, err
		}
	})},

	{what: "the last one committed is the newest", finds: "SnapshotNewest", wrap: func(s raft.Storage) raft.Storage {
		var last raft.Snapshot
		return &wrong{
			Storage: s,
			create: func(snapshot raft.Snapshot) (raft.SnapshotWriter, error) {
				inner, err := s.CreateSnapshot(snapshot)
				return &wrongWriter{SnapshotWriter: inner, commit: func() error {
					last = snapshot
					return inner.Commit()
				}}, err
			},
			open: func() (raft.Snapshot, io.ReadSeekCloser, error) {
				snapshot, r, err := s.OpenSnapshot()
				if last.Index > 0 {
					snapshot.Index = last.Index
				}
				return snapshot, r, err
			},
		}
	}},
	{what: "an older one is refused", finds: "SnapshotNewest", wrap: func(s raft.Storage) raft.Storage {
		newest := raft.Index(0)
		return &wrong{Storage: s, create: func(snapshot raft.Snapshot) (raft.SnapshotWriter, error) {
			inner, err := s.CreateSnapshot(snapshot)
			return &wrongWriter{SnapshotWriter: inner, commit: func() error {
				if snapshot.Index < newest {
					return errors.New("too old")
				}
				newest = snapshot.Index
				return inner.Commit()
			}}, err
		}}
	}},

	{what: "a reader ends with its snapshot", finds: "SnapshotReader", wrap: func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, open: func() (raft.Snapshot, io.ReadSeekCloser, error) {
			snapshot, r, err := s.OpenSnapshot()
			if err != nil {
				return snapshot, r, err
			}
			return snapshot, &mortal{r, s, snapshot.Index}, nil
		}}
	}},
	{what: "all readers share a position", finds: "SnapshotReader", wrap: func(s raft.Storage) raft.Storage {
		var shared io.ReadSeekCloser
		at := raft.Index(0)
		return &wrong{Storage: s, open: func() (raft.Snapshot, io.ReadSeekCloser, error) {
			snapshot, r, err := s.OpenSnapshot()
			if err == nil && at != snapshot.Index {
				shared, at = r, snapshot.Index
			}
			return snapshot, shared, err
		}}
	}},

	{what: "a snapshot always empties the log", finds: "SnapshotAndLog", wrap: wrongLoad(func(s *raft.State) {
		if s.Snapshot.Index > 0 {
			s.First, s.Last = s.Snapshot.Index+1, s.Snapshot.Index
			s.Runs, s.Memberships = nil, nil
		}
	})},
	{what: "a snapshot counts only once it is installed", finds: "SnapshotAndLog", wrap: wrongSnapshot(func(_ raft.Storage, w *wrongWriter) {
		w.commit = func() error { return nil }
	})},

	{what: "keeps the log beside an installed snapshot", finds: "Install", wrap: wrongSave(func(w *raft.Write) {
		if w.Snapshot != nil && len(w.Entries) == 0 {
			w.Snapshot = nil
		}
	})},
	{what: "forgets the hard state of the write with the snapshot", finds: "Install", wrap: func(s raft.Storage) raft.Storage {
		last := raft.HardState{}
		return &wrong{Storage: s, save: func(w raft.Write, done func(error)) {
			if w.Snapshot != nil {
				w.HardState = last
			}
			last = w.HardState
			s.Save(w, done)
		}}
	}},

	{what: "reads nothing while a write is under way", finds: "Concurrent", wrap: func(s raft.Storage) raft.Storage {
		var underWay atomic.Int64
		return &wrong{
			Storage: s,
			save: func(w raft.Write, done func(error)) {
				underWay.Add(1)
				s.Save(w, func(err error) { underWay.Add(-1); done(err) })
			},
			entries: func(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
				if underWay.Load() > 0 {
					return buf, nil
				}
				return s.Entries(buf, lo, hi, maxBytes)
			},
		}
	}},

	{what: "Save waits for I/O", finds: "Stall", wrap: func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, save: func(w raft.Write, done func(error)) {
			err := wait(s, w)
			go done(err)
		}}
	}},
	{what: "done before it is durable", finds: "Stall", wrap: early},
	{what: "done before it is durable", finds: "Crash", wrap: early},

	{what: "success after a failure", finds: "Failure", wrap: wrongDone(func() func(int, func(error), error) {
		failed := false
		return func(_ int, done func(error), err error) {
			if failed {
				err = nil
			}
			failed = failed || err != nil
			done(err)
		}
	})},
	{what: "failures are not told", finds: "Failure", wrap: wrongDone(func() func(int, func(error), error) {
		return func(_ int, done func(error), _ error) { done(nil) }
	})},

	{what: "damage is not noticed", finds: "Damage", disk: func() *disk { return &disk{unchecked: true} }},
	{what: "damage ends the log", finds: "Damage", disk: func() *disk { return &disk{cuts: true} }},

	{what: "a write is not atomic", finds: "Crash", wrap: func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, save: func(w raft.Write, done func(error)) {
			if len(w.Entries) > 1 {
				part := w
				part.Entries = w.Entries[:1]
				s.Save(part, func(error) {})
				w.Snapshot, w.Entries = nil, w.Entries[1:]
			}
			s.Save(w, done)
		}}
	}},
	{what: "Commit is not durable", finds: "Crash", wrap: wrongSnapshot(func(_ raft.Storage, w *wrongWriter) {
		w.commit = func() error { return nil }
	})},

	{what: "reads of the third entry fail in a long log", finds: "Random", wrap: func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, entries: func(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
			all, err := s.Entries(buf, lo, hi, maxBytes)
			if len(all) > 40 {
				all[2].Term++
			}
			return all, err
		}}
	}},
}

// early tells done before the write is begun, and begins it with the next one.
func early(s raft.Storage) raft.Storage {
	var mu sync.Mutex
	var held []func()
	told := make(chan func(), 1000)
	go func() {
		for tell := range told {
			tell()
		}
	}()
	flush := func() {
		for _, begin := range held {
			begin()
		}
		held = nil
	}
	return &wrong{
		Storage: s,
		load: func() (raft.State, error) {
			mu.Lock()
			defer mu.Unlock()
			flush()
			return s.Load()
		},
		save: func(w raft.Write, done func(error)) {
			mu.Lock()
			defer mu.Unlock()
			flush()
			w.Entries = append([]raft.Entry(nil), w.Entries...)
			held = append(held, func() { s.Save(w, func(error) {}) })
			told <- func() { done(nil) }
		},
	}
}

func changed(entries []raft.Entry, change func(*raft.Entry)) []raft.Entry {
	entries = append([]raft.Entry(nil), entries...)
	for i := range entries {
		change(&entries[i])
	}
	return entries
}

type noData struct{ *bytes.Reader }

func (noData) Close() error { return nil }

// mortal fails when a newer snapshot than its own is there.
type mortal struct {
	io.ReadSeekCloser
	s     raft.Storage
	index raft.Index
}

func (m *mortal) Read(b []byte) (int, error) {
	if now, r, err := m.s.OpenSnapshot(); err == nil {
		r.Close()
		if now.Index > m.index {
			return 0, errors.New("gone")
		}
	}
	return m.ReadSeekCloser.Read(b)
}
