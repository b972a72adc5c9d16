package raft

import "github.com/seed-6281cb22/raft/raftpb"

// A future is a call that waits: a proposal or a read barrier. It is pooled by
// the Node, and belongs to the replica from when it is taken until complete or
// abandon.
type future struct {
	done  chan error // of capacity 1: the call's end
	owner any        // the *call[R] that it is part of
	data  []byte     // a proposal's command
	began Instant    // when the replica took it

	checksum uint32 // of data, as it was when it was proposed

	seq  uint64      // a proposal's sequence number, 0 before it has one
	list *futureList // the list that it is in, if any
	prev *future
	next *future
}

// command makes f a proposal of data. Its checksum is computed before anything
// else happens to the bytes, and goes with them until they are applied.
func (f *future) command(data []byte) {
	f.data, f.checksum = data, raftpb.Checksum(data)
}

// A futureList holds futures in order of arrival. A call that is given up
// leaves its list at once, so that what nobody waits for holds no memory.
type futureList struct {
	head *future
	tail *future
}

func (l *futureList) empty() bool { return l.head == nil }

func (l *futureList) push(f *future) {
	f.list, f.prev, f.next = l, l.tail, nil
	if l.tail == nil {
		l.head = f
	} else {
		l.tail.next = f
	}
	l.tail = f
}

func (l *futureList) remove(f *future) {
	if f.prev == nil {
		l.head = f.next
	} else {
		f.prev.next = f.next
	}
	if f.next == nil {
		l.tail = f.prev
	} else {
		f.next.prev = f.prev
	}
	f.list, f.prev, f.next = nil, nil, nil
}

// pop removes and returns the first one, or nil.
func (l *futureList) pop() *future {
	f := l.head
	if f != nil {
		l.remove(f)
	}
	return f
}

// append moves all of other's to the end of l.
func (l *futureList) append(other *futureList) {
	for f := other.pop(); f != nil; f = other.pop() {
		l.push(f)
	}
}
