package contest

import (
	"fmt"
	"runtime"
	"time"
)

// turn does a case's work for some time.
type turn func(length time.Duration) (Sample, error)

// chunk is how many operations of less than a microsecond or so are done
// between two looks at the clock.
const chunk = 16

// CompactEvery is how many entries a log gets before it is compacted, within
// the time that is measured.
const CompactEvery = 1024

// intervals bounds how long a cluster may take for what it should do.
const intervals = 10_000

func open(c Contender, about Case) (turn, error) {
	switch about.Kind {
	case Encode, Decode:
		return openCodec(c, about)
	case Idle, Memory:
		return openGroups(c, about)
	}
	cluster, err := found(c, about)
	if err != nil {
		return nil, err
	}
	w := &work{Case: about, cluster: cluster, data: make([]byte, about.Bytes)}
	once, ok := map[Kind]func() (int, error){
		Propose: w.propose, Heartbeat: w.heartbeat, Vote: w.vote, Read: w.read,
	}[about.Kind]
	if ok {
		return w.counted(func(length time.Duration) (Sample, error) { return repeat(length, once) }), nil
	}
	prepared, ok := map[Kind]func(*meter) error{CatchUp: w.catchUp, Diverge: w.diverge}[about.Kind]
	if !ok {
		return nil, fmt.Errorf("no case of kind %q", about.Kind)
	}
	return w.counted(func(time.Duration) (Sample, error) {
		var m meter
		err := prepared(&m)
		m.sum.Ops = 1
		return m.sum, err
	}), nil
}

// found returns a group that has done all that it does once.
func found(c Contender, about Case) (Cluster, error) {
	cluster, err := c.Cluster(about.Voters, Wire(about.Wire))
	if err != nil {
		return nil, err
	}
	for range 5 {
		if err := cluster.Interval(); err != nil {
			return nil, err
		}
	}
	return cluster, nil
}

// work is a case with one group.
type work struct {
	Case
	cluster Cluster
	data    []byte
	entries int // since the last compaction
}

// counted counts the messages of a turn, where nothing of it goes unmeasured.
func (w *work) counted(f turn) turn {
	return func(length time.Duration) (Sample, error) {
		before := w.cluster.Messages()
		s, err := f(length)
		if s.Messages == 0 {
			s.Messages = w.cluster.Messages() - before
		}
		return s, err
	}
}

func (w *work) propose() (int, error) {
	leader, n := w.cluster.Leader(), 0
	before := w.cluster.Applied(leader)
	for ; n < chunk*w.PerCall*w.Calls; n += w.PerCall * w.Calls {
		if err := w.cluster.Propose(leader, w.data, w.Calls, w.PerCall); err != nil {
			return 0, err
		}
	}
	if applied := w.cluster.Applied(leader) - before; applied != uint64(n) {
		return 0, fmt.Errorf("%d entries applied of %d", applied, n)
	}
	if w.entries += n; w.entries >= CompactEvery {
		w.entries = 0
		return n, w.cluster.Compact()
	}
	return n, nil
}

func (w *work) heartbeat() (int, error) {
	for range chunk {
		if err := w.cluster.Heartbeat(); err != nil {
			return 0, err
		}
	}
	return chunk, nil
}

func (w *work) read() (int, error) {
	for range chunk {
		if err := w.cluster.Read(w.Calls); err != nil {
			return 0, err
		}
	}
	return chunk * w.Calls, nil
}

// vote is an election after the leader has fallen silent. It takes part again
// when it is over.
func (w *work) vote() (int, error) {
	w.cluster.Cut(w.cluster.Leader())
	if err := w.elect(); err != nil {
		return 0, err
	}
	w.cluster.Heal()
	if err := w.cluster.Interval(); err != nil {
		return 0, err
	}
	if w.entries++; w.entries >= CompactEvery {
		w.entries = 0
		return 1, w.cluster.Compact()
	}
	return 1, nil
}

// elect lets time pass until one leads.
func (w *work) elect() error {
	for range intervals {
		if w.cluster.Leader() >= 0 {
			return nil
		}
		if err := w.cluster.Interval(); err != nil {
			return err
		}
	}
	return fmt.Errorf("nobody was elected")
}

// catchUp cuts a follower off, and measures how it catches up.
func (w *work) catchUp(m *meter) error {
	leader := w.cluster.Leader()
	follower := (leader + 1) % w.Voters
	w.cluster.Cut(follower)
	if err := w.grow(leader); err != nil {
		return err
	}
	return w.rejoin(m, follower)
}

// diverge cuts the leader off, which goes on to propose, and measures how what
// it has proposed is replaced by its successor's entries.
func (w *work) diverge(m *meter) error {
	former := w.cluster.Leader()
	w.cluster.Cut(former)
	if err := w.grow(former); err != nil {
		return err
	}
	if err := w.elect(); err != nil {
		return err
	}
	if err := w.grow(w.cluster.Leader()); err != nil {
		return err
	}
	return w.rejoin(m, former)
}

// grow has node propose as many entries as another one is to be behind.
func (w *work) grow(node int) error {
	const perCall = 100
	for n := 0; n < w.Behind; n += perCall {
		if err := w.cluster.Propose(node, w.data, 1, min(perCall, w.Behind-n)); err != nil {
			return err
		}
	}
	return nil
}

// rejoin measures until node, which was cut off, has applied all that the
// leader has.
func (w *work) rejoin(m *meter, node int) error {
	w.cluster.Heal()
	runtime.GC() // of the preparation
	leader, before := w.cluster.Leader(), w.cluster.Messages()
	m.start()
	for range intervals {
		if err := w.cluster.Interval(); err != nil {
			return err
		}
		if w.cluster.Applied(node) == w.cluster.Applied(leader) {
			m.stop()
			m.sum.Messages = w.cluster.Messages() - before
			return w.cluster.Compact()
		}
	}
	return fmt.Errorf("replica %d has applied %d of %d entries", node, w.cluster.Applied(node), w.cluster.Applied(leader))
}

// openGroups founds many groups.
func openGroups(c Contender, about Case) (turn, error) {
	before := heap()
	groups := make([]Cluster, about.Groups)
	for i := range groups {
		var err error
		if groups[i], err = found(c, about); err != nil {
			return nil, err
		}
	}
	if about.Kind == Memory {
		held := (heap() - before) / uint64(about.Groups*about.Voters)
		return func(time.Duration) (Sample, error) {
			runtime.KeepAlive(groups)
			return Sample{Ops: 1, Bytes: held}, nil
		}, nil
	}
	next := 0
	return func(length time.Duration) (Sample, error) {
		return repeat(length, func() (int, error) {
			for range chunk {
				if err := groups[next].Interval(); err != nil {
					return 0, err
				}
				next = (next + 1) % len(groups)
			}
			return chunk, nil
		})
	}, nil
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one has only found
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func openCodec(c Contender, about Case) (turn, error) {
	operation, err := c.Codec(about)
	if err != nil {
		return nil, err
	}
	return func(length time.Duration) (Sample, error) {
		return repeat(length, func() (int, error) {
			for range chunk {
				if err := operation(); err != nil {
					return 0, err
				}
			}
			return chunk, nil
		})
	}, nil
}
