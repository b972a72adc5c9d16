package rafttest

import "github.com/seed-6281cb22/raft/internal/tape"

// Choices is where a Simulation's commands and queries take their chances from,
// so that they can be replayed and reduced. Where a failure is reduced, as many
// answers as possible are 0 and false.
type Choices struct {
	tape *tape.Tape
}

// Intn returns a number from 0 to n-1.
func (c *Choices) Intn(n int) int { return c.tape.Intn(n) }

// Uint64 returns any number.
func (c *Choices) Uint64() uint64 { return c.tape.Uint64() }

// Chance returns true with probability p.
func (c *Choices) Chance(p float64) bool { return c.tape.Chance(p) }
