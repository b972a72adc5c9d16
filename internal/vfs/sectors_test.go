package vfs

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// sectors returns n sectors, each filled with its own letter from first on.
func sectors(first byte, n int) string {
	var b []byte
	for i := range n {
		b = append(b, bytes.Repeat([]byte{first + byte(i)}, Sector)...)
	}
	return string(b)
}

// create makes a durable file.
func create(t *testing.T, m *Mem, name, content string) File {
	f, err := m.Create(name)
	require.NoError(t, err)
	write(t, f, 0, content)
	require.NoError(t, f.Sync())
	require.NoError(t, m.SyncDir("/"))
	return f
}

func TestSectorsHaveFatesOfTheirOwn(t *testing.T) {
	m := NewMem()
	f := create(t, m, "/f", sectors('a', 5))
	write(t, f, 0, sectors('A', 4))
	write(t, f, 3*Sector+Sector/2, sectors('X', 1)) // in two sectors
	require.Equal(t, 6, m.Unsynced())
	fates := []Fate{Landed, Lost, Zeroed, Garbage, Landed, Lost}
	var offs []int64
	m.Crash(Sectors(func(name string, off int64) Fate {
		require.Equal(t, "/f", name)
		offs = append(offs, off)
		return fates[len(offs)-1]
	}))
	require.Equal(t, []int64{0, Sector, 2 * Sector, 3 * Sector, 3*Sector + Sector/2, 4 * Sector}, offs)
	got := read(t, m, "/f")
	require.Len(t, got, 5*Sector)
	require.Equal(t, sectors('A', 1)+sectors('b', 1)+string(make([]byte, Sector)), got[:3*Sector])
	require.NotContains(t, []byte("aDeX\x00"), got[3*Sector], "garbage")
	require.Equal(t, sectors('X', 1)[:Sector/2], got[3*Sector+Sector/2:4*Sector])
	require.Equal(t, sectors('e', 1), got[4*Sector:])
	require.Zero(t, m.Unsynced())
}

// One history ends in many ways.
func TestCloneIsIndependent(t *testing.T) {
	m := NewMem()
	m.SetCapacity(100)
	f := create(t, m, "/f", "synced")
	write(t, f, 0, "SYNC")
	require.NoError(t, m.Rename("/f", "/g"))
	for _, c := range []struct {
		survival      Survival
		name, content string
	}{{Nothing, "/f", "synced"}, {Everything, "/g", "SYNCed"}} {
		clone := m.Clone()
		clone.Crash(c.survival)
		require.Equal(t, []string{c.name}, clone.Names())
		require.Equal(t, c.content, read(t, clone, c.name))
		require.EqualValues(t, 6, clone.Used())
		opened, err := clone.Open(c.name)
		require.NoError(t, err)
		write(t, opened, 0, "changed")
	}
	require.Equal(t, "SYNCed", read(t, m, "/g"))
	require.NoError(t, f.Sync(), "the original's files are alive")
}

func TestHookChangesWhatPasses(t *testing.T) {
	set := func(m *Mem, kind OpKind, change func(*Op)) {
		m.SetHook(func(op *Op) error {
			if op.Kind == kind {
				change(op)
			}
			return nil
		})
	}
	t.Run("misdirected write", func(t *testing.T) {
		m := NewMem()
		f := create(t, m, "/f", "ffff")
		create(t, m, "/g", "gggg")
		set(m, OpWrite, func(op *Op) { op.Misdirect, op.MisdirectOff = "/g", 2 })
		write(t, f, 0, "xxx")
		m.SetHook(nil)
		require.NoError(t, f.Sync())
		require.Equal(t, "ffff", read(t, m, "/f"))
		require.Equal(t, "ggxxx", read(t, m, "/g"))
		m.Crash(Nothing)
		require.Equal(t, "gggg", read(t, m, "/g"), "the sync was of another file")
	})
	t.Run("lost write", func(t *testing.T) {
		m := NewMem()
		f := create(t, m, "/f", "ffff")
		set(m, OpWrite, func(op *Op) { op.Misdirect = "nowhere" })
		write(t, f, 0, "xxx")
		require.NoError(t, f.Sync())
		require.Equal(t, "ffff", read(t, m, "/f"))
	})
	t.Run("bits flipped on the way", func(t *testing.T) {
		for _, kind := range []OpKind{OpRead, OpWrite} {
			m := NewMem()
			f := create(t, m, "/f", "ffff")
			set(m, kind, func(op *Op) { op.Alter = func(b []byte) { b[1] ^= 1 } })
			data := []byte("dddd")
			_, err := f.WriteAt(data, 0)
			require.NoError(t, err)
			require.Equal(t, "dddd", string(data), "a copy is altered")
			require.Equal(t, "dedd", read(t, m, "/f"), string(kind))
			m.SetHook(nil)
			require.Equal(t, kind == OpRead, read(t, m, "/f") == "dddd")
		}
	})
	t.Run("failed size", func(t *testing.T) {
		m := NewMem()
		f := create(t, m, "/f", "ffff")
		broken := errors.New("broken")
		m.SetHook(func(op *Op) error {
			require.Equal(t, OpSize, op.Kind)
			return broken
		})
		_, err := f.Size()
		require.ErrorIs(t, err, broken)
	})
}

// A call that stalls holds up no other. If the power fails meanwhile, it ends
// with the others.
func TestStall(t *testing.T) {
	for _, crash := range []bool{false, true} {
		m := NewMem()
		f := create(t, m, "/f", "old")
		stalled, proceed := make(chan bool), make(chan struct{})
		m.SetHook(func(op *Op) error {
			if op.Kind == OpSync {
				op.Stall = proceed
				close(stalled)
			}
			return nil
		})
		write(t, f, 0, "new")
		done := make(chan error)
		go func() { done <- f.Sync() }()
		<-stalled
		require.Equal(t, "new", read(t, m, "/f"))
		m.SetHook(nil)
		if crash {
			m.Crash(Nothing)
		}
		close(proceed)
		err := <-done
		m.Crash(Nothing)
		if crash {
			require.ErrorIs(t, err, ErrCrashed)
			require.Equal(t, "old", read(t, m, "/f"))
		} else {
			require.NoError(t, err)
			require.Equal(t, "new", read(t, m, "/f"))
		}
	}
}
