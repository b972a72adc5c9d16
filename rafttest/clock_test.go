package rafttest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

func TestClock(t *testing.T) {
	at := func(d time.Duration) raft.Instant { return raft.Instant(d) }
	c := clock{local: at(time.Hour)}
	require.Equal(t, at(time.Hour+time.Second), c.at(at(time.Second)))
	c.set(at(time.Second), 100_000) // a tenth too fast
	require.Equal(t, at(time.Hour+time.Second), c.at(at(time.Second)), "nothing jumps")
	require.Equal(t, at(time.Hour+12*time.Second), c.at(at(11*time.Second)))
	c.jump(time.Minute)
	require.Equal(t, at(time.Hour+72*time.Second), c.at(at(11*time.Second)))
}

// A timer fires when the clock shows its time, and not before.
func TestClockWhen(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		c := clock{since: raft.Instant(random.IntN(1e9)), local: raft.Instant(random.IntN(1e12)), drift: int64(random.IntN(400_000) - 200_000)}
		now := c.since + raft.Instant(random.IntN(1e9))
		local := c.at(now) + raft.Instant(random.IntN(1e10)-1e9)
		when := c.when(local, now)
		require.GreaterOrEqual(t, when, now)
		require.GreaterOrEqual(t, c.at(when), local)
		if early := when - raft.Instant(time.Microsecond); early > now {
			require.Less(t, c.at(early), local)
		}
	}
}
