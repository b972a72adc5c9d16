package modelcheck

import (
	"math/bits"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
)

const (
	maxNodes        = 5
	maxTerm         = 7
	maxLog          = 15 // highest index, a leader's first entries beyond MaxLog included
	maxPermutations = 6  // of 3 nodes; more nodes are not permuted, see permutations
)

// hash128 is the fingerprint of a state, or of a part of one.
type hash128 struct{ hi, lo uint64 }

// prints are the fingerprints of one thing under each permutation of the nodes.
type prints [maxPermutations]hash128

func (h hash128) less(o hash128) bool { return h.hi < o.hi || h.hi == o.hi && h.lo < o.lo }

const (
	prime1 = 0x9e3779b97f4a7c15
	prime2 = 0xc2b2ae3d27d4eb4f
)

// scramble is a bijection in which each bit of the result depends on each bit
// of x.
func scramble(x uint64) uint64 {
	x = (x ^ x>>32) * 0xd6e8feb86659fd93
	x = (x ^ x>>32) * 0xd6e8feb86659fd93
	return x ^ x>>32
}

// with returns h with a value after it: the order matters.
func (h hash128) with(v uint64) hash128 {
	return hash128{
		scramble(bits.RotateLeft64(h.hi, 23)*prime1 ^ v),
		scramble(bits.RotateLeft64(h.lo, 41)*prime2 + v + prime1),
	}
}

func (h hash128) withHash(o hash128) hash128 { return h.with(o.hi).with(o.lo) }

// plus adds o to a set: the order does not matter.
func (h hash128) plus(o hash128) hash128 { return hash128{h.hi + o.hi, h.lo + o.lo} }

func hash(b []byte) hash128 {
	h := hash128{prime1, prime2}.with(uint64(len(b)))
	for len(b) > 0 {
		v := uint64(0)
		n := min(len(b), 8)
		for i := range n {
			v |= uint64(b[i]) << (8 * i)
		}
		h, b = h.with(v), b[n:]
	}
	return h
}

func printMessage(b []byte, m *raft.Message, rename []raft.NodeID) []byte {
	return bridge.FingerprintMessage(b, m, rename)
}

// permutations returns the renamings of n nodes that states are reduced by,
// each with the id of the node that takes id i at position i, and 0 at 0. The
// first one changes nothing.
func permutations(n int, s Symmetry) [][]raft.NodeID {
	identity := make([]raft.NodeID, n+1)
	for i := range identity {
		identity[i] = raft.NodeID(i)
	}
	all := [][]raft.NodeID{identity}
	if s == Full {
		return all
	}
	// Of more than three nodes only three change places: 6 fingerprints for
	// each state, not 120.
	for _, p := range [][]raft.NodeID{{0, 2, 1}, {0, 1, 3, 2}, {0, 3, 2, 1}, {0, 2, 3, 1}, {0, 3, 1, 2}} {
		if len(p) <= n+1 {
			all = append(all, append(p[:len(p):len(p)], identity[len(p):]...))
		}
	}
	return all
}

// stateSet is a set of fingerprints in one table with open addressing.
type stateSet struct {
	slots []hash128 // the zero hash is an empty slot
	len   int
}

// add reports whether h was not there.
func (s *stateSet) add(h hash128) bool {
	if h == (hash128{}) {
		h.lo = 1
	}
	if s.len*4 >= len(s.slots)*3 {
		s.grow()
	}
	if !s.insert(h) {
		return false
	}
	s.len++
	return true
}

func (s *stateSet) insert(h hash128) bool {
	mask := uint64(len(s.slots) - 1)
	i := h.lo & mask
	for s.slots[i] != (hash128{}) {
		if s.slots[i] == h {
			return false
		}
		i = (i + 1) & mask
	}
	s.slots[i] = h
	return true
}

func (s *stateSet) grow() {
	old := s.slots
	s.slots = make([]hash128, max(1<<16, 2*len(old)))
	for _, h := range old {
		if h != (hash128{}) {
			s.insert(h)
		}
	}
}
