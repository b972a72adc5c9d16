package rafttest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFirst(t *testing.T) {
	c := New(t, 3)
	c.Elect(1)
	c.Partition(1)
	require.Equal(t, 1, c.Propose("a"))
	c.Heal()
	c.RequireConsistent()
	c.Crash(2)
	c.Propose("b")
	c.Restart(2)
	c.Crash(1)
	c.Crash(3)
	c.Restart(1)
	c.RequireConsistent()
	c.Propose("c")
	c.Restart(3)
	c.RequireConsistent()
	require.Equal(t, []string{"a", "b", "c"}, c.Machine(3).Commands())
	c.Elect(3)
	c.Wipe(1)
	c.Restart(1)
	c.Propose("d")
	c.RequireConsistent()
	c.Run(time.Hour)
	t.Log(c.e.events, c.e.hash)
}
