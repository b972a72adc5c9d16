package failover

import (
	"time"

	"github.com/seed-6281cb22/raft/bench/internal/rig"
)

// fault is one way for a leader to fail.
type fault struct {
	name     string
	what     string // happens to the leader
	possible func(*rig.Rig) error
	inject   func(*subject, int) error // returns when it has happened
	heal     func(*subject, int) error
	// lives says that clients can reach the leader all the time, and may ask it
	// as well as the others. What counts then is not only the first write that is
	// acknowledged: the leader may commit a few before it steps down.
	lives bool
}

// afterFirst is for how long writes are looked at after the first one, where a
// leader lives: it is longer than the election timeouts for which a failed
// leader's writes could hide that another one must come.
const afterFirst = 2 * time.Second

var faults = []fault{
	{
		name: "kill", what: "killed (SIGKILL)",
		possible: func(*rig.Rig) error { return nil },
		inject:   func(s *subject, node int) error { s.cluster.Kill(node); return nil },
		heal:     func(s *subject, node int) error { return s.cluster.Run(node) },
	},
	{
		name: "cut", what: "cut off (its link down)",
		possible: (*rig.Rig).CanCut,
		inject:   func(s *subject, node int) error { return s.rig.Cut(node) },
		heal:     func(s *subject, node int) error { return s.rig.Uncut(node) },
	},
	{
		name: "pause", what: "paused (SIGSTOP)",
		possible: func(*rig.Rig) error { return nil },
		inject:   func(s *subject, node int) error { return s.cluster.Pause(node) },
		heal:     func(s *subject, node int) error { return s.cluster.Resume(node) },
	},
	{
		name: "hang", what: "with a disk that hangs (FIFREEZE)",
		possible: (*rig.Rig).CanHang,
		inject:   func(s *subject, node int) error { return s.rig.Hang(node) },
		heal:     func(s *subject, node int) error { return s.rig.Unhang(node) },
		lives:    true,
	},
}

// FaultNames returns what Options.Faults can have.
func FaultNames() []string {
	var names []string
	for _, f := range faults {
		names = append(names, f.name)
	}
	return names
}
