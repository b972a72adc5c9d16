// Package transcript keeps the last events of each node of a simulated cluster
// and shows them to a reader, in one order and by node.
package transcript

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Recorder keeps the last events of each node. Events are values of the
// simulation's own type E, and become text only when they are shown: what E
// refers to must not change until then. A nil Recorder records nothing, at the
// cost of a comparison.
//
// It is not safe for concurrent use.
type Recorder[E any] struct {
	text    func(E) string
	perNode int
	nodes   []ring[E] // by number
	added   int
}

// ring is the last events of one node.
type ring[E any] struct {
	kept  []record[E] // at most perNode; once full, the next one replaces the oldest
	total int
}

type record[E any] struct {
	order int // among all events
	step  int
	now   time.Duration
	node  int
	event E
}

// New returns a recorder that keeps perNode events of each node, at least one,
// and shows them by text, whose lines it indents.
func New[E any](perNode int, text func(E) string) *Recorder[E] {
	return &Recorder[E]{text: text, perNode: max(1, perNode)}
}

// Add records an event of a node, or, as node 0, of what is around them: the
// network, the clients, the faults. What was added before came before. step and
// now are shown beside it.
func (r *Recorder[E]) Add(step int, now time.Duration, node int, event E) {
	if r != nil {
		r.add(record[E]{step: step, now: now, node: node, event: event})
	}
}

func (r *Recorder[E]) add(rec record[E]) {
	for len(r.nodes) <= rec.node {
		r.nodes = append(r.nodes, ring[E]{})
	}
	rec.order = r.added
	r.added++
	n := &r.nodes[rec.node]
	if len(n.kept) < r.perNode {
		n.kept = append(n.kept, rec)
	} else {
		n.kept[n.total%r.perNode] = rec
	}
	n.total++
}

// Merged returns the last events of all nodes in the order in which they were
// added, at most limit of them. Where a node's events begin later than others',
// because its earlier ones are no longer kept, it says so.
func (r *Recorder[E]) Merged(limit int) string {
	if r == nil {
		return ""
	}
	all := r.all()
	return r.table(all[max(0, len(all)-limit):])
}

// LastOfEach returns the last events of each node, node by node, at most limit
// of each.
func (r *Recorder[E]) LastOfEach(limit int) string {
	if r == nil {
		return ""
	}
	var b strings.Builder
	for node, n := range r.nodes {
		if n.total == 0 {
			continue
		}
		last := n.inOrder()
		last = last[max(0, len(last)-limit):]
		fmt.Fprintf(&b, "%s, the last %d of %d events:\n", name(node), len(last), n.total)
		for _, rec := range last {
			r.row(&b, rec, "")
		}
	}
	return b.String()
}

// all returns what is kept of all nodes, in order.
func (r *Recorder[E]) all() []record[E] {
	var all []record[E]
	for i := range r.nodes {
		all = append(all, r.nodes[i].inOrder()...)
	}
	slices.SortFunc(all, func(a, b record[E]) int { return cmp.Compare(a.order, b.order) })
	return all
}

// inOrder returns what is kept, the oldest first.
func (n *ring[E]) inOrder() []record[E] {
	oldest := n.oldest()
	return slices.Concat(n.kept[oldest:], n.kept[:oldest])
}

// oldest returns the place of the oldest record in kept.
func (n *ring[E]) oldest() int {
	if n.total == len(n.kept) {
		return 0
	}
	return n.total % len(n.kept)
}

// table shows records, each with a mark in its node's column.
func (r *Recorder[E]) table(records []record[E]) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%8s %12s  %s\n", "step", "time", r.columns(-1))
	for _, rec := range records {
		n := &r.nodes[rec.node]
		if forgotten := n.total - len(n.kept); forgotten > 0 && rec.order == n.kept[n.oldest()].order {
			fmt.Fprintf(&b, "%21s  %s  (%d earlier events of %s are not kept)\n",
				"", r.columns(rec.node), forgotten, name(rec.node))
		}
		r.row(&b, rec, r.columns(rec.node)+"  ")
	}
	return b.String()
}

// columns returns a column for each node that has had an event, with a mark in
// node's, or with a mark in each if node is -1.
func (r *Recorder[E]) columns(node int) string {
	var columns []string
	for i, n := range r.nodes {
		mark := "*"
		if i > 0 {
			mark = fmt.Sprint(i)
		}
		switch {
		case n.total == 0:
		case i == node || node == -1:
			columns = append(columns, mark)
		default:
			columns = append(columns, strings.Repeat(" ", len(mark)-1)+".")
		}
	}
	return strings.Join(columns, " ")
}

// row shows one record. Its text may have several lines.
func (r *Recorder[E]) row(b *strings.Builder, rec record[E], columns string) {
	head := fmt.Sprintf("%8d %11.6fs  %s", rec.step, rec.now.Seconds(), columns)
	for line := range strings.Lines(strings.TrimRight(r.text(rec.event), "\n") + "\n") {
		b.WriteString(strings.TrimRight(head+line, " \n") + "\n")
		head = strings.Repeat(" ", len(head))
	}
}

func name(node int) string {
	if node == 0 {
		return "the surroundings (*)"
	}
	return fmt.Sprintf("node %d", node)
}
