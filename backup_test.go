package raft_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/internal/vfs"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/storage/wal"
)

func TestTakeSnapshot(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		for i := range 10 {
			c.propose(0, fmt.Sprint(i))
		}
		c.requireSame()
		for i, node := range c.nodes {
			index, err := node.TakeSnapshot(ctx)
			require.NoError(t, err)
			require.Equal(t, node.Status().Applied, index, "it holds all that was applied")
			require.Equal(t, index, node.Status().Snapshot)
			s, body, err := c.storages[i].OpenSnapshot()
			require.NoError(t, err)
			require.Equal(t, index, s.Index, "it is in the storage")
			require.NoError(t, body.Close())
			again, err := node.TakeSnapshot(ctx)
			require.NoError(t, err)
			require.Equal(t, index, again)
			require.Equal(t, 1, c.journals[i].closed, "nothing has been applied since: no other one was taken")
		}
	})
}

// While a snapshot is written, more is applied; a call then waits for the next.
func TestTakeSnapshotWhileOneIsTaken(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 1, nil)
		proceed := make(chan error)
		c.journals[0].write = func() error { return <-proceed }
		type taken struct {
			index raft.Index
			err   error
		}
		take := func(ctx context.Context) <-chan taken {
			done := make(chan taken, 1)
			go func() {
				index, err := c.nodes[0].TakeSnapshot(ctx)
				done <- taken{index, err}
			}()
			synctest.Wait()
			return done
		}
		c.propose(0, "a")
		first := take(ctx)
		c.propose(0, "b")
		at := c.nodes[0].Status().Applied
		second, third := take(ctx), take(ctx)
		short, cancel := context.WithCancel(ctx)
		given := take(short)
		cancel()
		require.ErrorIs(t, (<-given).err, context.Canceled)
		broken := errors.New("broken")
		proceed <- broken
		require.ErrorIs(t, (<-first).err, broken)
		proceed <- nil
		require.Equal(t, taken{at, nil}, <-second)
		require.Equal(t, taken{at, nil}, <-third)

		// The end of the node is the end of the call.
		c.propose(0, "c")
		last := take(ctx)
		closed := make(chan error, 1)
		go func() { closed <- c.nodes[0].Close(ctx) }()
		synctest.Wait()
		require.ErrorIs(t, (<-last).err, raft.ErrClosed)
		proceed <- nil
		require.NoError(t, <-closed)
		_, err := c.nodes[0].TakeSnapshot(ctx)
		require.ErrorIs(t, err, raft.ErrClosed)
		_, err = c.nodes[0].ExportSnapshot(ctx, io.Discard)
		require.ErrorIs(t, err, raft.ErrClosed)
	})
}

// A state machine that is at work is asked when it has done that.
func TestTakeSnapshotWhileApplying(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 1, nil)
		c.propose(0, "a")
		proceed := make(chan bool)
		c.journals[0].apply = func([]raft.Entry) error { <-proceed; return nil }
		go c.nodes[0].Propose(ctx, []byte("b"))
		synctest.Wait()
		done := make(chan raft.Index)
		go func() {
			index, err := c.nodes[0].TakeSnapshot(ctx)
			require.NoError(t, err)
			done <- index
		}()
		synctest.Wait()
		proceed <- true
		require.Equal(t, c.nodes[0].Status().Last, <-done)
	})
}

func TestTakeSnapshotOfNothing(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 2, nil)
		c.stop(1)
		_, err := c.nodes[0].TakeSnapshot(ctx)
		require.ErrorIs(t, err, raft.ErrNoSnapshot)
	})
}

// backupOf returns a backup of a cluster of one, its commands, and what it says
// of itself.
func backupOf(t *testing.T, ctx context.Context) ([]byte, []string, raft.Backup) {
	c := newNamedCluster(t, 1, nil)
	for i := range 20 {
		c.propose(0, strings.Repeat(fmt.Sprint(i), i))
	}
	var b bytes.Buffer
	described, err := c.nodes[0].ExportSnapshot(ctx, &b)
	require.NoError(t, err)
	require.Equal(t, c.nodes[0].Status().Applied, described.Snapshot.Index)
	require.Equal(t, "test", described.Cluster)
	return b.Bytes(), c.journals[0].all(), described
}

// A backup founds a cluster of other members, and of more of them: all begin
// with the same log, elect one another, and hold what was in the backup.
func TestBackupFoundsACluster(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		file, commands, described := backupOf(t, ctx)
		c := newCluster(t, 3, nil)
		for i := range 3 {
			c.stop(i)
		}
		for i := range 3 {
			_, err := raft.ImportSnapshot(c.config(i), bytes.NewReader(file))
			require.ErrorIs(t, err, raft.ErrNotEmpty, "it was a founding member before")
			c.storages[i] = memory.New()
			imported, err := raft.ImportSnapshot(c.config(i), iotest.OneByteReader(bytes.NewReader(file)))
			require.NoError(t, err)
			require.Equal(t, described, imported)
			_, err = raft.ImportSnapshot(c.config(i), bytes.NewReader(file))
			require.ErrorIs(t, err, raft.ErrNotEmpty)
		}
		c.start(0)
		c.start(1) // a majority
		c.propose(0, "after")
		c.start(2)
		commands = append(commands, "after")
		require.Equal(t, commands, c.requireSame())
		for _, node := range c.nodes {
			status := node.Status()
			require.Equal(t, []raft.NodeID{1, 2, 3}, voters(status))
			require.False(t, status.Marked)
			require.Greater(t, status.First, described.Snapshot.Index)
		}
	})
}

// Founders that have imported differing backups, or none, refuse each other.
func TestFoundersOfDifferingBackupsRefuseEachOther(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		one, _, _ := backupOf(t, ctx)
		c := newCluster(t, 3, nil)
		for i := range 3 {
			c.stop(i)
			c.storages[i] = memory.New()
		}
		other := newNamedCluster(t, 1, nil)
		other.propose(0, "another")
		var two bytes.Buffer
		_, err := other.nodes[0].ExportSnapshot(ctx, &two)
		require.NoError(t, err)
		_, err = raft.ImportSnapshot(c.config(0), bytes.NewReader(one))
		require.NoError(t, err)
		_, err = raft.ImportSnapshot(c.config(1), &two)
		require.NoError(t, err)
		for i := range 3 {
			c.start(i)
		}
		bubble.Sleep(time.Minute)
		for _, node := range c.nodes {
			require.Zero(t, node.Status().Leader)
		}
	})
}

// Whatever is damaged, cut off or added is noticed, and leaves the storage as
// empty as it was: the backup itself can be imported after that.
func TestDamagedBackups(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		file, _, _ := backupOf(t, ctx)
		cfg := raft.Config{ID: 1, Storage: memory.New(), Bootstrap: []raft.Member{{ID: 1, Address: "one"}}}
		refuse := func(b []byte, why string, args ...any) {
			t.Helper()
			_, err := raft.ImportSnapshot(cfg, bytes.NewReader(b))
			var bad *raft.BackupError
			require.ErrorAs(t, err, &bad, why, args)
			state, err := cfg.Storage.Load()
			require.NoError(t, err)
			require.Zero(t, state.Snapshot)
			require.Zero(t, state.Identity)
		}
		for n := range file {
			refuse(file[:n], "cut at %d", n)
			damaged := append([]byte(nil), file...)
			damaged[n] ^= 0x10
			refuse(damaged, "damaged at %d", n)
		}
		refuse(append(append([]byte(nil), file...), 0), "something behind")
		refuse([]byte("SQLite format 3\x00 and more that is quite something else"), "a foreign file")

		broken := errors.New("broken")
		for _, n := range []int64{0, 20, int64(len(file) - 3), int64(len(file))} {
			_, err := raft.ImportSnapshot(cfg, io.MultiReader(io.LimitReader(bytes.NewReader(file), n), iotest.ErrReader(broken)))
			require.ErrorIs(t, err, broken)
		}
		_, err := raft.ImportSnapshot(cfg, bytes.NewReader(file))
		require.NoError(t, err)
	})
}

func TestImportNeedsAConfiguration(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		file, _, _ := backupOf(t, ctx)
		members := []raft.Member{{ID: 1, Address: "one"}}
		for field, cfg := range map[string]raft.Config{
			"ID":        {Storage: memory.New(), Bootstrap: members},
			"Storage":   {ID: 1, Bootstrap: members},
			"Bootstrap": {ID: 1, Storage: memory.New()},
			"Cluster":   {ID: 1, Storage: memory.New(), Bootstrap: members, Cluster: "test"}, // the backup's
		} {
			_, err := raft.ImportSnapshot(cfg, bytes.NewReader(file))
			var wrong *raft.ConfigError
			require.ErrorAs(t, err, &wrong)
			require.Equal(t, field, wrong.Field)
		}
		_, err := raft.ImportSnapshot(raft.Config{ID: 2, Storage: memory.New(), Bootstrap: members}, bytes.NewReader(file))
		require.ErrorContains(t, err, "must include this node")
	})
}

// The power goes at every system call of an import in turn. It can be done
// again, or it was done.
func TestImportIsAtomic(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		file, _, described := backupOf(t, ctx)
		for call := 1; ; call++ {
			disk, calls := vfs.NewMem(), 0
			disk.SetHook(func(op *vfs.Op) error {
				if calls++; op.Mutates() && calls >= call {
					return vfs.ErrCrashed
				}
				return nil
			})
			cfg := raft.Config{ID: 1, Bootstrap: []raft.Member{{ID: 1, Address: "one"}}}
			attempt := func() error {
				log, err := wal.Open("/wal", wal.Options{FS: disk})
				if err != nil {
					return err
				}
				defer log.Close()
				cfg.Storage = log.Storage(0)
				_, err = raft.ImportSnapshot(cfg, bytes.NewReader(file))
				return err
			}
			if attempt() == nil {
				require.Greater(t, call, 20)
				break
			}
			disk.SetHook(nil)
			survival := vfs.Nothing
			if call%2 == 0 {
				survival = vfs.Everything
			}
			disk.Crash(survival)
			if err := attempt(); err != nil {
				require.ErrorIs(t, err, raft.ErrNotEmpty)
			}
			log, err := wal.Open("/wal", wal.Options{FS: disk})
			require.NoError(t, err)
			state, err := log.Storage(0).Load()
			require.NoError(t, err)
			require.Equal(t, raft.NodeID(1), state.Identity.Node)
			require.Equal(t, described.Snapshot.Index, state.Snapshot.Index)
			require.Equal(t, described.Snapshot.Checksum, state.Snapshot.Checksum)
			require.Equal(t, raft.HardState{Term: described.Snapshot.Term, Commit: described.Snapshot.Index, Unmarked: true}, state.HardState)
			require.NoError(t, log.Close())
		}
	})
}
