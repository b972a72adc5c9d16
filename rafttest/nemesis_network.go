package rafttest

// What the nemesis does to the network.

func (s *nemesis) link() bool {
	from, to := s.victim(), s.victim()
	f := drawNetwork(s.e.tape, s.e.cfg.electionTimeout())
	s.e.transcript.note(from, "its link to node %d gets %+v", to.id, f)
	s.e.network.SetLinkFaults(from.id, to.id, f)
	s.later(func() { s.e.network.SetLinkFaults(from.id, to.id, s.e.cfg.network) })
	return true
}

// cut cuts links, and heals them after a while.
func (s *nemesis) cut(links [][2]*node) {
	for _, l := range links {
		s.e.transcript.note(l[0], "does not reach node %d", l[1].id)
		s.e.block(l[0], l[1])
	}
	s.later(func() { s.mend(links) })
}

func (s *nemesis) mend(links [][2]*node) {
	for _, l := range links {
		s.e.transcript.note(l[0], "reaches node %d again", l[1].id)
		s.e.unblock(l[0], l[1])
	}
}

// sides returns the links between two sides: one node and the others, or any
// two parts.
func (s *nemesis) sides() (links [][2]*node) {
	victim, any := s.victim(), s.e.tape.Chance(0.5)
	var side []bool
	for _, n := range s.e.nodes {
		side = append(side, n == victim || any && s.e.tape.Chance(0.5))
	}
	for i, a := range s.e.nodes {
		for j, b := range s.e.nodes {
			if side[i] && !side[j] {
				links = append(links, [2]*node{a, b}, [2]*node{b, a})
			}
		}
	}
	return links
}

func (s *nemesis) partition() bool {
	links := s.sides()
	if s.e.tape.Chance(0.3) { // two nodes only: both reach all others
		links = s.between()
	}
	s.cut(links)
	return true
}

func (s *nemesis) between() [][2]*node {
	a, b := s.victim(), s.victim()
	return [][2]*node{{a, b}, {b, a}}
}

// oneWay cuts one direction only: a node is not heard, or does not hear.
func (s *nemesis) oneWay() bool {
	links, first := s.sides(), s.e.tape.Intn(2)
	if s.e.tape.Chance(0.5) {
		links = s.between()
	}
	var half [][2]*node
	for i := first; i < len(links); i += 2 {
		half = append(half, links[i])
	}
	s.cut(half)
	return true
}

// flapping cuts and mends links several times.
func (s *nemesis) flapping() bool {
	links, times := s.sides(), 2+s.e.tape.Intn(8)
	var flap func(int)
	flap = func(left int) {
		for _, l := range links {
			if left%2 == 0 {
				s.e.block(l[0], l[1])
			} else {
				s.e.unblock(l[0], l[1])
			}
		}
		if left > 1 {
			s.e.after(s.e.draw(span{max: s.e.cfg.electionTimeout()}), func() {
				if !s.over {
					flap(left - 1)
				}
			})
		}
	}
	flap(2 * times)
	return true
}
