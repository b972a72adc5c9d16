package coresim

import (
	"math/bits"

	"github.com/seed-6281cb22/raft/internal/tape"
)

// nodeSet is a set of nodes, by their positions.
type nodeSet uint8

func only(i int) nodeSet { return 1 << i }

func (s nodeSet) has(i int) bool { return s&only(i) != 0 }

func (s nodeSet) len() int { return bits.OnesCount8(uint8(s)) }

// first returns the first of the members, of which there is one.
func (s nodeSet) first() int { return bits.TrailingZeros8(uint8(s)) }

// set makes i a member or none.
func (s *nodeSet) set(i int, member bool) {
	*s &^= only(i)
	if member {
		*s |= only(i)
	}
}

// pick decides for one of the members, of which there is one.
func (s nodeSet) pick(t *tape.Tape) int {
	if s&(s-1) == 0 {
		return s.first()
	}
	for range t.Intn(s.len()) {
		s &= s - 1
	}
	return s.first()
}
