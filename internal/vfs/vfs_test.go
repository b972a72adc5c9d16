package vfs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// both runs a test on the operating system's file system and in memory.
func both(t *testing.T, test func(t *testing.T, fs FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) { test(t, NewMem(), "/") })
}

func write(t *testing.T, f File, off int64, s string) {
	t.Helper()
	n, err := f.WriteAt([]byte(s), off)
	require.NoError(t, err)
	require.Equal(t, len(s), n)
}

func read(t *testing.T, fs FS, name string) string {
	t.Helper()
	f, err := fs.Open(name)
	require.NoError(t, err)
	defer f.Close()
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(b, 0)
		require.NoError(t, err)
	}
	return string(b)
}

func TestFilesAndNames(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, root string) {
		dir := filepath.Join(root, "a", "b")
		require.NoError(t, fsys.MkdirAll(dir))
		require.NoError(t, fsys.MkdirAll(dir))
		one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
		f, err := fsys.Create(one)
		require.NoError(t, err)
		write(t, f, 0, "hello")
		write(t, f, 8, "x")
		require.NoError(t, f.Sync())
		require.NoError(t, fsys.SyncDir(dir))
		require.Equal(t, "hello\x00\x00\x00x", read(t, fsys, one))
		require.NoError(t, f.Truncate(2))
		require.NoError(t, f.Truncate(4))
		require.Equal(t, "he\x00\x00", read(t, fsys, one))

		require.NoError(t, fsys.Rename(one, two))
		_, err = fsys.Open(one)
		require.ErrorIs(t, err, fs.ErrNotExist)
		names, err := fsys.List(dir)
		require.NoError(t, err)
		require.Equal(t, []string{"two"}, names)

		require.NoError(t, fsys.Remove(two))
		require.ErrorIs(t, fsys.Remove(two), fs.ErrNotExist)
		b := make([]byte, 2)
		_, err = f.ReadAt(b, 0)
		require.NoError(t, err, "an open file outlives its name")
		require.Equal(t, "he", string(b))
		require.NoError(t, WriteZeros(f, 3<<20+5))
		size, err := f.Size()
		require.NoError(t, err)
		require.EqualValues(t, 3<<20+5, size)
		require.NoError(t, f.Close())
	})
}

func TestLockExcludes(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		l, err := fsys.Lock(name)
		require.NoError(t, err)
		_, err = fsys.Lock(name)
		require.ErrorIs(t, err, ErrLocked)
		require.NoError(t, l.Close())
		l, err = fsys.Lock(name)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	})
}

func TestCrashForgetsWhatWasNotSynced(t *testing.T) {
	long := make([]byte, 2*Sector)
	for i := range long {
		long[i] = 'n'
	}
	for _, c := range []struct {
		name     string
		survives Survival
		want     string
	}{
		{"nothing", Nothing, "synced"},
		{"everything", Everything, string(long)},
		{"half", Fraction(1, 2), string(long[:Sector])},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := NewMem()
			f, err := m.Create("/f")
			require.NoError(t, err)
			write(t, f, 0, "synced")
			require.NoError(t, f.Sync())
			require.NoError(t, m.SyncDir("/"))
			write(t, f, 0, string(long))
			m.Crash(c.survives)
			require.Equal(t, c.want, read(t, m, "/f"))
			_, err = f.WriteAt([]byte("x"), 0)
			require.ErrorIs(t, err, ErrCrashed, "a file of before the crash is dead")
		})
	}
}

func TestCrashForgetsNames(t *testing.T) {
	m := NewMem()
	create := func(name, data string) {
		f, err := m.Create(name)
		require.NoError(t, err)
		write(t, f, 0, data)
		require.NoError(t, f.Sync())
	}
	create("/old", "old")
	create("/gone", "gone")
	require.NoError(t, m.SyncDir("/"))
	create("/new", "new")
	require.NoError(t, m.Rename("/old", "/renamed"))
	require.NoError(t, m.Remove("/gone"))
	m.Crash(Nothing)
	require.Equal(t, []string{"/gone", "/old"}, m.Names())

	require.NoError(t, m.Rename("/old", "/first"))
	require.NoError(t, m.Rename("/gone", "/second"))
	m.Crash(Last)
	require.Equal(t, []string{"/old", "/second"}, m.Names())
	require.Equal(t, "gone", read(t, m, "/second"))
}

// What survives is asked in one order always, also of files of one name.
func TestCrashAsksInOneOrder(t *testing.T) {
	for range 20 {
		m := NewMem()
		for _, content := range []string{"first", "second", "third"} {
			f, err := m.Create("/a")
			require.NoError(t, err)
			write(t, f, 0, content)
			require.NoError(t, m.Remove("/a"))
		}
		var asked []string
		m.Crash(Survival{
			Writes: func(_ string, unsynced []Write) []Write {
				asked = append(asked, string(unsynced[0].Data))
				return nil
			},
			Names: Nothing.Names,
		})
		require.Equal(t, []string{"first", "second", "third"}, asked)
	}
}

func TestHookFailsCalls(t *testing.T) {
	m := NewMem()
	f, err := m.Create("/f")
	require.NoError(t, err)
	require.NoError(t, m.SyncDir("/"))
	broken := errors.New("broken")
	fail := func(kind OpKind, keep int, err error) {
		m.SetHook(func(op *Op) error {
			if op.Kind != kind {
				return nil
			}
			op.Keep = keep
			return err
		})
	}

	fail(OpWrite, 2, broken)
	n, err := f.WriteAt([]byte("abcd"), 0)
	require.ErrorIs(t, err, broken)
	require.Equal(t, 2, n)
	require.Equal(t, "ab", read(t, m, "/f"))

	fail(OpSync, 0, broken)
	require.ErrorIs(t, f.Sync(), broken)
	m.SetHook(nil)
	require.NoError(t, f.Sync(), "the page cache believes to be clean")
	require.Equal(t, "ab", read(t, m, "/f"))
	m.Crash(Everything)
	require.Empty(t, read(t, m, "/f"), "what a failed sync dropped never becomes durable")

	fail(OpCreate, 0, ErrCrashed)
	_, err = m.Create("/g")
	require.ErrorIs(t, err, ErrCrashed)
	_, err = m.List("/")
	require.ErrorIs(t, err, ErrCrashed, "all is down until Crash")
	m.SetHook(nil)
	m.Crash(Nothing)
	_, err = m.List("/")
	require.NoError(t, err)
}

func TestKillLeavesThePageCache(t *testing.T) {
	m := NewMem()
	f, err := m.Create("/f")
	require.NoError(t, err)
	require.NoError(t, m.SyncDir("/"))
	write(t, f, 0, "unsynced")
	m.Kill()
	_, err = f.ReadAt(make([]byte, 1), 0)
	require.ErrorIs(t, err, ErrCrashed)
	require.Equal(t, "unsynced", read(t, m, "/f"))
	m.Crash(Nothing)
	require.Empty(t, read(t, m, "/f"))
}

func TestCapacity(t *testing.T) {
	m := NewMem()
	m.SetCapacity(10)
	f, err := m.Create("/f")
	require.NoError(t, err)
	write(t, f, 0, "12345678")
	_, err = f.WriteAt([]byte("90a"), 8)
	require.ErrorIs(t, err, syscall.ENOSPC)
	write(t, f, 4, "567890")
	require.EqualValues(t, 10, m.Used())
	require.NoError(t, m.Remove("/f"))
	require.Zero(t, m.Used())
}
