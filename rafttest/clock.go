package rafttest

import (
	"time"

	"github.com/seed-6281cb22/raft"
)

// clock is a node's own clock: it has an origin of its own, drifts, and may
// jump forward. It is exact arithmetic, so that it is the same everywhere.
type clock struct {
	since raft.Instant // the world's time …
	local raft.Instant // … when the clock showed this
	drift int64        // parts per million by which it is fast
}

const million = 1_000_000

// at returns what the clock shows at an instant of the world.
func (c *clock) at(now raft.Instant) raft.Instant {
	d := int64(now - c.since)
	return c.local + raft.Instant(d+d/million*c.drift+d%million*c.drift/million)
}

// when returns the first instant of the world, now or later, at which the clock
// shows local.
func (c *clock) when(local, now raft.Instant) raft.Instant {
	missing := int64(local - c.at(now))
	if missing <= 0 {
		return now
	}
	rate := million + c.drift
	at := now + raft.Instant(missing/rate*million+missing%rate*million/rate)
	for c.at(at) < local {
		at++
	}
	return at
}

// set changes the drift from now on.
func (c *clock) set(now raft.Instant, drift int64) {
	c.local, c.since, c.drift = c.at(now), now, drift
}

// jump moves the clock forward.
func (c *clock) jump(d time.Duration) { c.local = c.local.Add(d) }
