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

// slowest and fastest are the bounds of what a clock drifts by. With leases it may
// be fast by a 64th at most, see raft.SetLease.
const (
	slowest      = -200_000
	fastest      = 200_000
	leaseFastest = million / 64
)

// longestAge is how much of the world's time may pass while a clock shows that age
// has.
func longestAge(age time.Duration) time.Duration {
	return age + age/(million+slowest)*-slowest + (million + slowest)
}

// trueTime is a node's raft.Clock. True time is the world's, and lies between its
// bounds, unless it is wrong.
type trueTime struct {
	n           *node
	early, late time.Duration // how far true time may be above the earliest, and below the latest
	off         bool          // it is not sure of the time
	wrong       time.Duration // 0, except in tests of what finds that
}

// epoch is the true time at the beginning of a run.
const epoch = 1_000_000_000_000_000_000

// Now implements raft.Clock.
func (c *trueTime) Now() (earliest, latest uint64, ok bool) {
	t := epoch + int64(c.n.e.now) + int64(c.wrong)
	return uint64(t - int64(c.early)), uint64(t + int64(c.late)), !c.off
}
