package storagetest_test

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/storagetest"
)

// recorder is a testing.TB whose failure is not the test's.
type recorder struct {
	testing.TB
	mu      sync.Mutex
	said    []string
	failed  bool
	skipped bool
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Skip(...any) {
	r.skipped = true
	runtime.Goexit()
}

// runCheck runs one check and returns what it says.
func runCheck(t *testing.T, name string, o storagetest.Options) *recorder {
	all := storagetest.Checks()
	i := slices.IndexFunc(all, func(c storagetest.Check) bool { return c.Name == name })
	require.GreaterOrEqual(t, i, 0, "no check %s", name)
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		all[i].Run(r, o)
	}()
	<-done
	return r
}

// wrong is a storage with one fault: what is not nil replaces a method.
type wrong struct {
	raft.Storage
	load    func() (raft.State, error)
	save    func(w raft.Write, done func(error))
	entries func(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error)
	compact func(through raft.Index) error
	create  func(s raft.Snapshot) (raft.SnapshotWriter, error)
	open    func() (raft.Snapshot, io.ReadSeekCloser, error)
}

func (w *wrong) Load() (raft.State, error) {
	if w.load == nil {
		return w.Storage.Load()
	}
	return w.load()
}

func (w *wrong) Save(write raft.Write, done func(error)) {
	if w.save == nil {
		w.Storage.Save(write, done)
		return
	}
	w.save(write, done)
}

func (w *wrong) Entries(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
	if w.entries == nil {
		return w.Storage.Entries(buf, lo, hi, maxBytes)
	}
	return w.entries(buf, lo, hi, maxBytes)
}

func (w *wrong) Compact(through raft.Index) error {
	if w.compact == nil {
		return w.Storage.Compact(through)
	}
	return w.compact(through)
}

func (w *wrong) CreateSnapshot(s raft.Snapshot) (raft.SnapshotWriter, error) {
	if w.create == nil {
		return w.Storage.CreateSnapshot(s)
	}
	return w.create(s)
}

func (w *wrong) OpenSnapshot() (raft.Snapshot, io.ReadSeekCloser, error) {
	if w.open == nil {
		return w.Storage.OpenSnapshot()
	}
	return w.open()
}

// wrongLoad changes what Load returns, wrongSave what is saved.
func wrongLoad(change func(*raft.State)) func(raft.Storage) raft.Storage {
	return func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, load: func() (raft.State, error) {
			state, err := s.Load()
			change(&state)
			return state, err
		}}
	}
}

func wrongSave(change func(*raft.Write)) func(raft.Storage) raft.Storage {
	return func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, save: func(w raft.Write, done func(error)) {
			change(&w)
			s.Save(w, done)
		}}
	}
}

// wrongDone changes how done is called: by finish, which gets the number of the
// write, in the goroutine that would have called done.
func wrongDone(finish func() func(number int, done func(error), err error)) func(raft.Storage) raft.Storage {
	return func(s raft.Storage) raft.Storage {
		f, saved := finish(), 0
		return &wrong{Storage: s, save: func(w raft.Write, done func(error)) {
			saved++
			number := saved
			s.Save(w, func(err error) { f(number, done, err) })
		}}
	}
}

// wrongWriter changes the writer of a snapshot.
type wrongWriter struct {
	raft.SnapshotWriter
	write  func([]byte) (int, error)
	commit func() error
	close  func() error
}

func (w *wrongWriter) Write(b []byte) (int, error) {
	if w.write == nil {
		return w.SnapshotWriter.Write(b)
	}
	return w.write(b)
}

func (w *wrongWriter) Commit() error {
	if w.commit == nil {
		return w.SnapshotWriter.Commit()
	}
	return w.commit()
}

func (w *wrongWriter) Close() error {
	if w.close == nil {
		return w.SnapshotWriter.Close()
	}
	return w.close()
}

func wrongSnapshot(change func(s raft.Storage, w *wrongWriter)) func(raft.Storage) raft.Storage {
	return func(s raft.Storage) raft.Storage {
		return &wrong{Storage: s, create: func(snapshot raft.Snapshot) (raft.SnapshotWriter, error) {
			inner, err := s.CreateSnapshot(snapshot)
			w := &wrongWriter{SnapshotWriter: inner}
			change(s, w)
			return w, err
		}}
	}
}

type fault struct {
	what  string
	finds string       // the check that is meant to find it
	disk  func() *disk // nil: one without a fault
	wrap  func(raft.Storage) raft.Storage
}

// Each of these storages has one fault, and the check that is meant to find it
// does. Without the fault it passes, see TestAsync.
func TestWrongStoragesFail(t *testing.T) {
	found := map[string]bool{}
	for i := range faults {
		f := &faults[i]
		t.Run(f.finds+"/"+f.what, func(t *testing.T) {
			wrap := f.wrap
			if wrap == nil {
				wrap = unchanged
			}
			newDisk := f.disk
			if newDisk == nil {
				newDisk = func() *disk { return &disk{} }
			}
			r := runCheck(t, f.finds, storagetest.Options{
				New:      func(testing.TB) *storagetest.Device { return device(newDisk(), wrap) },
				Patience: 100 * time.Millisecond,
			})
			require.True(t, r.failed, "not found")
			require.False(t, r.skipped)
			t.Log(r.said)
			found[f.finds] = true
		})
	}
	var missing []string
	for _, c := range storagetest.Checks() {
		if !found[c.Name] {
			missing = append(missing, c.Name)
		}
	}
	require.Empty(t, missing, "checks that no wrong storage fails; of %v", slices.Sorted(maps.Keys(found)))
}

// What a device lacks is said, and is no failure.
func TestChecksThatTheDeviceDoesNotAllow(t *testing.T) {
	for _, name := range []string{"Stall", "Failure", "Damage", "Crash"} {
		r := runCheck(t, name, storagetest.Options{New: func(testing.TB) *storagetest.Device {
			d := device(&disk{}, unchanged)
			return &storagetest.Device{Open: d.Open, Close: d.Close}
		}})
		require.True(t, r.skipped)
		require.False(t, r.failed)
	}
}
