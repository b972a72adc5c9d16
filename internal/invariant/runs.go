package invariant

import (
	"sort"

	"github.com/seed-6281cb22/raft/raftpb"
)

// runs is a log: the term of every entry in (base, last].
type runs struct {
	base     raftpb.Index
	baseTerm raftpb.Term // 0: not known
	last     raftpb.Index
	list     []Run
}

// empty returns an empty log in the same memory.
func (l *runs) empty() runs { return runs{list: l.list[:0]} }

// term returns the term of the entry at i, and whether it is known.
func (l *runs) term(i raftpb.Index) (raftpb.Term, bool) {
	switch {
	case i == l.base:
		return l.baseTerm, i == 0 || l.baseTerm != 0
	case i < l.base || i > l.last:
		return 0, i == 0
	}
	return l.list[l.run(i)].Term, true
}

// run returns the position in list of the run that holds i, base < i <= last.
func (l *runs) run(i raftpb.Index) int {
	k := len(l.list) - 1
	for range 4 { // nearly always one of the last ones
		if l.list[k].First <= i {
			return k
		}
		k--
	}
	return sort.Search(k+1, func(j int) bool { return l.list[j].First > i }) - 1
}

// append adds entries of one term up to and including last.
func (l *runs) append(term raftpb.Term, last raftpb.Index) {
	if last <= l.last {
		return
	}
	if n := len(l.list); n == 0 || l.list[n-1].Term != term {
		l.list = append(l.list, Run{First: l.last + 1, Term: term})
	}
	l.last = last
}

// appendFrom adds what other holds in (l.last, last], all of which it holds.
func (l *runs) appendFrom(other *runs, last raftpb.Index) {
	for k := other.run(l.last + 1); k < len(other.list) && l.last < last; k++ {
		l.append(other.list[k].Term, min(last, other.endOf(k)))
	}
}

// endOf returns the last index of the run at position k.
func (l *runs) endOf(k int) raftpb.Index {
	if k+1 < len(l.list) {
		return l.list[k+1].First - 1
	}
	return l.last
}

// truncate removes the entries from i on.
func (l *runs) truncate(i raftpb.Index) {
	if i > l.last {
		return
	}
	n := len(l.list)
	for n > 0 && l.list[n-1].First >= i {
		n--
	}
	l.list, l.last = l.list[:n], max(i-1, l.base)
}

// reset makes the log one of no entries after i.
func (l *runs) reset(i raftpb.Index, term raftpb.Term) {
	l.base, l.baseTerm, l.last, l.list = i, term, i, l.list[:0]
}

// copyFrom makes l what other is.
func (l *runs) copyFrom(other *runs) {
	list := append(l.list[:0], other.list...)
	*l = *other
	l.list = list
}

// common returns the highest index up to which two logs are the same, as far
// as both know, by log matching: where the terms are the same, so is all before.
func (l *runs) common(other *runs) raftpb.Index {
	i := min(l.last, other.last)
	for i > max(l.base, other.base) {
		a, b := l.run(i), other.run(i)
		if l.list[a].Term == other.list[b].Term {
			return i
		}
		// Down to below the run of the higher term: the other has none of it.
		if l.list[a].Term > other.list[b].Term {
			i = l.list[a].First - 1
		} else {
			i = other.list[b].First - 1
		}
	}
	return i
}
