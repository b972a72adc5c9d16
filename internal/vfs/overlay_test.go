package vfs

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// An overlay behaves as a file system with the directory's content, and the
// directory stays as it is.
func TestOverlay(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	original := make([]byte, 30_000)
	for i := range original {
		original[i] = byte(rng.Uint32())
	}
	path := filepath.Join(dir, "a")
	require.NoError(t, os.WriteFile(path, original, 0o400))
	over, err := Overlay(dir)
	require.NoError(t, err)

	mem := NewMem()
	require.NoError(t, mem.MkdirAll(dir))
	f, err := mem.Create(path)
	require.NoError(t, err)
	_, err = f.WriteAt(original, 0)
	require.NoError(t, err)
	g, err := over.Open(path)
	require.NoError(t, err)

	for range 500 {
		off, size := rng.Int64N(40_000), 1+rng.IntN(10_000)
		switch rng.IntN(5) {
		case 0, 1:
			data := make([]byte, size)
			if rng.IntN(2) == 0 {
				data[rng.IntN(size+1)/2] = 7
			}
			for _, file := range []File{f, g} {
				_, err := file.WriteAt(data, off)
				require.NoError(t, err)
			}
		case 2:
			require.NoError(t, f.Truncate(off))
			require.NoError(t, g.Truncate(off))
		default:
			want, got := make([]byte, size), make([]byte, size)
			n, wantErr := f.ReadAt(want, off)
			m, gotErr := g.ReadAt(got, off)
			require.Equal(t, wantErr, gotErr)
			require.Equal(t, want[:n], got[:m])
		}
		want, err := f.Size()
		require.NoError(t, err)
		got, err := g.Size()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.NoError(t, g.Close())

	require.NoError(t, over.Rename(path, filepath.Join(dir, "b")))
	_, err = over.Open(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = over.Create(filepath.Join(dir, "c"))
	require.NoError(t, err)
	names, err := over.List(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"b", "c"}, names)
	require.NoError(t, over.Remove(filepath.Join(dir, "b")))
	require.ErrorIs(t, over.Remove(path), os.ErrNotExist)

	now, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, original, now)
	_, err = Overlay(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestLockExisting(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	none, err := LockExisting(name)
	require.NoError(t, err)
	require.Nil(t, none)
	require.NoFileExists(t, name)

	lock := func() io.Closer {
		held, err := OS().Lock(name)
		require.NoError(t, err)
		return held
	}
	held := lock()
	_, err = LockExisting(name)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, held.Close())
	again, err := LockExisting(name)
	require.NoError(t, err)
	_, err = OS().Lock(name)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, again.Close())
	require.NoError(t, lock().Close())
}
