package storagetest_test

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/storage/storagetest"
)

// disk is a simulated one that holds a journal of what was made durable. It
// takes two operations to append a record: to write it, and to sync it.
type disk struct {
	mu      sync.Mutex
	free    sync.Cond // not hung
	records []*record
	life    int // counts crashes
	fuse    int // operations until the power is cut; 0: never
	dark    bool
	failing bool
	hung    bool

	// What is wrong with it.
	unchecked bool // damage is not noticed
	cuts      bool // damage ends the journal
}

// record is a Write, a committed snapshot, or a Load, which installs one.
type record struct {
	load     bool
	write    raft.Write
	snapshot *raft.Snapshot
	data     []byte
	checksum uint32
}

func (r *record) sum() uint32 {
	h := crc32.NewIEEE()
	h.Write(r.data)
	for _, e := range r.write.Entries {
		h.Write(e.Data)
	}
	return h.Sum32()
}

var (
	errPower = errors.New("the power is off")
	errFull  = errors.New("the disk is full")
)

// operate is an operation of a storage that was opened in some life.
func (d *disk) operate(life int) error {
	for d.hung {
		d.free.Wait()
	}
	if d.fuse > 0 {
		d.fuse--
		d.dark = d.dark || d.fuse == 0
	}
	switch {
	case d.dark || life != d.life:
		return errPower
	case d.failing:
		return errFull
	}
	return nil
}

func (d *disk) append(life int, r *record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.operate(life); err != nil {
		return err
	}
	r.checksum = r.sum()
	d.records = append(d.records, r)
	err := d.operate(life)
	if err != nil && (d.failing || len(d.records)%2 == 0) { // else it has reached the disk just so
		d.records = d.records[:len(d.records)-1]
	}
	return err
}

// blocking is a storage.Blocking on a disk.
type blocking struct {
	raft.Storage // in memory
	disk         *disk
	life         int
}

// wait calls Save and waits.
func wait(s raft.Storage, w raft.Write) error {
	done := make(chan error)
	s.Save(w, func(err error) { done <- err })
	return <-done
}

func (b *blocking) Save(w raft.Write) error {
	w.Entries = slices.Clone(w.Entries)
	if err := b.disk.append(b.life, &record{write: w}); err != nil {
		return err
	}
	return wait(b.Storage, w)
}

func (b *blocking) Load() (raft.State, error) {
	if err := b.disk.append(b.life, &record{load: true}); err != nil {
		return raft.State{}, err
	}
	return b.Storage.Load()
}

func (b *blocking) CreateSnapshot(s raft.Snapshot) (raft.SnapshotWriter, error) {
	w, err := b.Storage.CreateSnapshot(s)
	return &writer{SnapshotWriter: w, on: b, snapshot: s}, err
}

type writer struct {
	raft.SnapshotWriter // in memory
	on                  *blocking
	snapshot            raft.Snapshot
	data                []byte
}

func (w *writer) Write(b []byte) (int, error) {
	w.data = append(w.data, b...)
	return w.SnapshotWriter.Write(b)
}

func (w *writer) Commit() error {
	if err := w.on.disk.append(w.on.life, &record{snapshot: &w.snapshot, data: w.data}); err != nil {
		return err
	}
	return w.SnapshotWriter.Commit()
}

// open replays the journal into memory.
func (d *disk) open() (storage.Blocking, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dark {
		return nil, errPower
	}
	inMemory := memory.New()
	for _, r := range d.records {
		if r.sum() != r.checksum && !d.unchecked {
			if d.cuts {
				break
			}
			return nil, &raft.CorruptError{File: "journal", Reason: "wrong checksum"}
		}
		if err := r.replay(inMemory); err != nil {
			return nil, err
		}
	}
	return &blocking{inMemory, d, d.life}, nil
}

func (r *record) replay(s raft.Storage) error {
	switch {
	case r.load:
		_, err := s.Load()
		return err
	case r.snapshot == nil:
		return wait(s, r.write)
	}
	w, err := s.CreateSnapshot(*r.snapshot)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, bytes.NewReader(r.data)); err != nil {
		return err
	}
	if err := w.Commit(); err != nil {
		return err
	}
	return w.Close()
}

func (d *disk) damage(data []byte) (copies int) {
	for _, r := range d.records {
		for i := range r.write.Entries {
			copies += flip(&r.write.Entries[i].Data, data)
		}
		copies += flip(&r.data, data)
	}
	return copies
}

func flip(in *[]byte, data []byte) int {
	at := bytes.Index(*in, data)
	if at < 0 {
		return 0
	}
	*in = slices.Clone(*in)
	(*in)[at] ^= 1
	return 1
}

// device is a disk, and storage.Async around a blocking storage on it, in a
// wrapper.
func device(d *disk, wrap func(raft.Storage) raft.Storage) *storagetest.Device {
	d.free.L = &d.mu
	var inner raft.Storage
	set := func(change func()) {
		d.mu.Lock()
		defer d.mu.Unlock()
		change()
		d.free.Broadcast()
	}
	return &storagetest.Device{
		Open: func() (raft.Storage, error) {
			b, err := d.open()
			if err != nil {
				return nil, err
			}
			inner = storage.Async(b)
			return wrap(inner), nil
		},
		Close: func() error {
			_, err := inner.Load() // waits until all is done
			set(func() { d.failing = false })
			return err
		},
		Crash: func() {
			set(func() { d.dark = true })
			if inner != nil {
				inner.Load()
			}
			set(func() { d.dark, d.fuse, d.failing = false, 0, false; d.life++ })
		},
		CrashAfter: func(operations int) { set(func() { d.fuse = operations }) },
		Stall: func() (resume func()) {
			set(func() { d.hung = true })
			return func() { set(func() { d.hung = false }) }
		},
		FailWrites: func() { set(func() { d.failing = true }) },
		Damage:     d.damage,
	}
}

func unchanged(s raft.Storage) raft.Storage { return s }

// The disk and storage.Async keep the contract: what the faults below add is
// what is found.
func TestAsync(t *testing.T) {
	storagetest.Run(t, storagetest.Options{New: func(testing.TB) *storagetest.Device { return device(&disk{}, unchanged) }})
}
