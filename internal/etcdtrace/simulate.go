package etcdtrace

import (
	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/internal/coresim"
	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/raftpb"
)

// Simulate runs a simulation of bare cores, of what can be shown, with what t
// decides, and returns its record. The error is the simulation's: one of its
// own checks has failed; the record goes as far as the run has.
func Simulate(t *tape.Tape) (*Recorder, error) {
	o := &observer{recorder: New()}
	_, err := coresim.Run(coresim.Config{Plain: true, Observer: o, Spare: o.spare}, t)
	return o.recorder, err
}

// observer tells a recorder of a simulation.
type observer struct {
	recorder *Recorder
	view     bridge.View
	started  raft.State
}

func (o *observer) spare(id raftpb.NodeID) uint64 { return o.recorder.Revealed(id) }

// Before keeps what a core has started from, before its first Ready.
func (o *observer) Before(e *coresim.Event) {
	if e.Kind != coresim.Restart {
		return
	}
	v := &o.view
	bridge.Inspect(e.Core, v)
	if len(o.recorder.voters) == 0 {
		o.recorder = New(voters(v.Membership)...)
	}
	o.started = raft.State{
		HardState: raft.HardState{Term: v.Term, Vote: v.Vote, Commit: v.Commit, Unmarked: v.Unmarked},
		Snapshot:  raft.Snapshot{Index: v.SnapshotIndex},
		First:     v.Base + 1, Last: v.Last,
	}
	for i := v.Base + 1; i <= v.Last; i++ {
		term, _ := bridge.TermAt(e.Core, i)
		if n := len(o.started.Runs); n == 0 || o.started.Runs[n-1].Term != term {
			o.started.Runs = append(o.started.Runs, raft.TermRun{First: i, Term: term})
		}
	}
}

func voters(m *raft.Membership) (ids []raft.NodeID) {
	for _, member := range m.Members {
		ids = append(ids, member.ID)
	}
	return ids
}

// After tells of an event.
func (o *observer) After(e *coresim.Event) {
	r := o.recorder
	switch e.Kind {
	case coresim.Restart:
		r.Started(e.Node, o.started)
		r.Stepped(e.Node, e.Core, e.Ready)
	case coresim.Crash:
		r.Crashed(e.Node, e.Durable)
	case coresim.Persist:
		r.Persisted(e.Node, e.Durable, e.Core, e.Ready)
	case coresim.Deliver, coresim.Duplicate:
		r.Received(e.Node, e.Message, e.Core, e.Ready)
	default:
		r.Stepped(e.Node, e.Core, e.Ready)
	}
}
