package etcdraft

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft/bench/contender"
)

// firstIndex and firstTerm are of the snapshot that a new cluster begins with on
// all nodes: it has its voters, no state, and no file.
const firstIndex, firstTerm = 1, 1

// disk is etcd's log, the entries of it that RawNode may still ask for in
// memory, and the snapshots as files.
type disk struct {
	dir    string
	keep   uint64
	log    *wal.WAL
	memory *raft.MemoryStorage

	mu sync.Mutex // one snapshot at a time becomes the newest
}

func openDisk(dir string, nodes int, keep uint64) (*disk, error) {
	d := &disk{dir: dir, keep: keep, memory: raft.NewMemoryStorage()}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if !wal.Exist(d.walDir()) {
		return d, d.create(nodes)
	}
	snapshot, err := newest(d.walDir())
	if err != nil {
		return nil, err
	}
	state, entries, err := d.read(snapshot)
	if errors.Is(err, io.ErrUnexpectedEOF) && wal.Repair(zap.NewNop(), d.walDir()) {
		state, entries, err = d.read(snapshot) // a crash tore the last record
	}
	if err != nil {
		return nil, err
	}
	metadata := &raftpb.SnapshotMetadata{ConfState: snapshot.ConfState, Index: new(snapshot.GetIndex()), Term: new(snapshot.GetTerm())}
	return d, errors.Join(
		d.memory.ApplySnapshot(&raftpb.Snapshot{Metadata: metadata}), d.memory.SetHardState(state), d.memory.Append(entries))
}

// newest returns the newest snapshot that the log knows of.
func newest(walDir string) (newest *walpb.Snapshot, err error) {
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), walDir)
	if err != nil {
		return nil, err
	}
	for _, s := range snapshots {
		if newest == nil || s.GetIndex() > newest.GetIndex() {
			newest = s
		}
	}
	if newest.GetIndex() < firstIndex {
		return nil, errors.New("etcdraft: a log without a snapshot")
	}
	return newest, nil
}

func (d *disk) walDir() string { return filepath.Join(d.dir, "wal") }

// create begins the log of a new cluster.
func (d *disk) create(nodes int) (err error) {
	if d.log, err = wal.Create(zap.NewNop(), d.walDir(), nil); err != nil {
		return err
	}
	conf := &raftpb.ConfState{}
	for node := range nodes {
		conf.Voters = append(conf.Voters, uint64(node+1))
	}
	metadata := &raftpb.SnapshotMetadata{ConfState: conf, Index: new(uint64(firstIndex)), Term: new(uint64(firstTerm))}
	state := &raftpb.HardState{Term: new(uint64(firstTerm)), Vote: new(uint64(0)), Commit: new(uint64(firstIndex))}
	return errors.Join(
		d.log.SaveSnapshot(&walpb.Snapshot{Index: metadata.Index, Term: metadata.Term, ConfState: conf}),
		d.log.Save(state, nil),
		d.memory.ApplySnapshot(&raftpb.Snapshot{Metadata: metadata}),
		d.memory.SetHardState(state))
}

func (d *disk) read(from *walpb.Snapshot) (*raftpb.HardState, []*raftpb.Entry, error) {
	log, err := wal.Open(zap.NewNop(), d.walDir(), from)
	if err != nil {
		return nil, nil, err
	}
	_, state, entries, err := log.ReadAll()
	if err != nil {
		log.Close()
		return nil, nil, err
	}
	d.log = log
	return state, entries, nil
}

func (d *disk) close() error { return d.log.Close() }

// save writes a Ready's state and entries to the log, which syncs if Raft asks
// for that, and gives RawNode the entries back.
func (d *disk) save(state *raftpb.HardState, entries []*raftpb.Entry) error {
	if err := d.log.Save(state, entries); err != nil {
		return err
	}
	return d.memory.Append(entries)
}

// snapshotIndex returns the index of the newest snapshot.
func (d *disk) snapshotIndex() uint64 {
	first, _ := d.memory.Snapshot() // never fails
	return first.GetMetadata().GetIndex()
}

func (d *disk) snapshotName(index uint64) string {
	return filepath.Join(d.dir, fmt.Sprintf("%016x.snap", index))
}

// restore gives the machine the state of the newest snapshot.
func (d *disk) restore(machine *contender.Machine) error {
	index := d.snapshotIndex()
	if index == firstIndex {
		return nil
	}
	f, err := os.Open(d.snapshotName(index))
	if err != nil {
		return err
	}
	defer f.Close()
	return machine.ReadSnapshot(f)
}

// writeSnapshot writes the machine's state at index to a file, and frees what
// the log has before it. It may run beside save.
func (d *disk) writeSnapshot(index, count uint64, machine *contender.Machine) error {
	if index <= d.snapshotIndex() {
		return nil
	}
	if err := writeFile(d.snapshotName(index), func(w io.Writer) error { return machine.WriteSnapshot(w, count) }); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	snapshot, err := d.memory.CreateSnapshot(index, nil, nil)
	if errors.Is(err, raft.ErrSnapOutOfDate) {
		return nil // a leader's came in between
	}
	if err != nil {
		return err
	}
	if err := d.record(snapshot); err != nil {
		return err
	}
	if index > d.keep {
		if err := d.memory.Compact(index - d.keep); err != nil && !errors.Is(err, raft.ErrCompacted) {
			return err
		}
	}
	return d.removeBefore(index)
}

// install makes a snapshot, which has come from the leader and has its file, the
// state of this node.
func (d *disk) install(snapshot *raftpb.Snapshot, machine *contender.Machine) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.record(snapshot); err != nil {
		return err
	}
	if err := d.memory.ApplySnapshot(snapshot); err != nil {
		return err
	}
	if err := d.restore(machine); err != nil {
		return err
	}
	return d.removeBefore(d.snapshotIndex())
}

func (d *disk) record(snapshot *raftpb.Snapshot) error {
	m := snapshot.GetMetadata()
	return d.log.SaveSnapshot(&walpb.Snapshot{Index: m.Index, Term: m.Term, ConfState: m.ConfState})
}

// removeBefore removes the files of the log, and of snapshots, that nothing at
// or after index needs.
func (d *disk) removeBefore(index uint64) error {
	if err := d.log.ReleaseLockTo(index); err != nil {
		return err
	}
	logs, err := filepath.Glob(filepath.Join(d.walDir(), "*.wal"))
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(logs); i++ {
		var number, first uint64
		if _, err := fmt.Sscanf(filepath.Base(logs[i+1]), "%016x-%016x.wal", &number, &first); err != nil {
			return err
		}
		if first >= index {
			break // as ReleaseLockTo has it
		}
		if err := os.Remove(logs[i]); err != nil {
			return err
		}
	}
	snapshots, err := filepath.Glob(filepath.Join(d.dir, "*.snap"))
	if err != nil {
		return err
	}
	for _, name := range snapshots {
		if strings.Compare(name, d.snapshotName(index)) < 0 {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeFile writes a file that is there whole or not at all, and stays.
func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name + ".tmp")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := errors.Join(write(f), f.Sync()); err != nil {
		return err
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
