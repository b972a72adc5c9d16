package transporttest

import (
	"math/rand/v2"

	"github.com/seed-6281cb22/raft"
)

// checkRandom: all of it together, in an order that a seed gives.
func checkRandom(s *suite) {
	for i := range s.o.Seeds {
		if i > 0 {
			s.renew()
		}
		seed := s.o.FirstSeed + uint64(i)
		s.Logf("seed %d", seed)
		r := &randomRun{suite: s, random: rand.New(rand.NewPCG(seed, 0))}
		for id := raft.NodeID(1); id <= 3; id++ {
			r.nodes = append(r.nodes, s.join(id))
		}
		r.introduce()
		for range 60 {
			r.step()
		}
		r.introduce()
		for _, a := range r.nodes {
			for _, b := range r.nodes {
				if a != b {
					s.reach(a, b)
				}
			}
		}
		for _, t := range r.transfers {
			t.wait()
		}
	}
}

// randomRun is one seed of checkRandom.
type randomRun struct {
	*suite
	random    *rand.Rand
	nodes     []*host // by id
	transfers []*transfer
}

// introduce tells all nodes of each other.
func (r *randomRun) introduce() {
	r.Helper()
	for _, a := range r.nodes {
		for _, b := range r.nodes {
			if a != b {
				a.know(b)
			}
		}
	}
}

// two draws two nodes.
func (r *randomRun) two() (a, b *host) {
	i := r.random.IntN(len(r.nodes))
	j := (i + 1 + r.random.IntN(len(r.nodes)-1)) % len(r.nodes)
	return r.nodes[i], r.nodes[j]
}

func (r *randomRun) step() {
	r.Helper()
	a, b := r.two()
	switch r.random.IntN(12) {
	case 0:
		a.setPeer(b.id, "")
	case 1:
		a.close()
		earlier := a
		if r.random.IntN(2) == 0 {
			earlier = nil // another address
		}
		again := r.open(a.id, earlier)
		again.start()
		r.nodes[a.id-1] = again
		r.introduce()
	case 2:
		a.know(b)
	case 3, 4:
		t := a.sendSnapshot(b.id, r.random.Int64N(1<<r.random.IntN(20)+1))
		r.transfers = append(r.transfers, t)
		if r.random.IntN(3) == 0 {
			t.cancel()
		}
	case 5:
		a.know(b)
		r.reach(a, b)
	default:
		var batch []raft.Message
		for range r.random.IntN(30) {
			batch = append(batch, r.withData(a, b.id, r.random.IntN(1<<r.random.IntN(14)), r.random.IntN(10)))
		}
		letters := a.send(batch...)
		if r.random.IntN(4) == 0 {
			r.arrive(letters)
		}
	}
}
