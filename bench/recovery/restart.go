package recovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/internal/rig"
)

// single is one library's node that is all of its cluster.
type single struct {
	library string
	rig     *rig.Rig
	cluster *rig.Cluster
	samples []restart
}

// restart is one start of a node with a long log.
type restart struct {
	opened  time.Duration // until the process answered
	written time.Duration // until a write was acknowledged
}

func runRestarts(ctx context.Context, opts Options) (err error) {
	var nodes []*single
	defer func() {
		for _, s := range nodes {
			err = errors.Join(err, s.rig.Close())
		}
	}()
	for _, library := range opts.Libraries {
		r, err := rig.New(ctx, opts.Dir, 1, rig.Parts{})
		if err != nil {
			return err
		}
		s := &single{library: library, rig: r}
		nodes = append(nodes, s)
		if s.cluster, err = r.Start(rig.Spec{Library: library, Timing: contender.Default}); err != nil {
			return err
		}
		if err := fill(ctx, s.cluster, opts.Bytes); err != nil {
			return fmt.Errorf("%s: %w\n%s", library, err, s.cluster.Log())
		}
	}
	for run := range opts.Runs {
		for i := range nodes {
			s := nodes[(run+i)%len(nodes)]
			if err := s.restart(); err != nil {
				return fmt.Errorf("%s: %w\n%s", s.library, err, s.cluster.Log())
			}
		}
	}
	printRestarts(opts.Out, opts.Bytes, nodes)
	return nil
}

// restart kills the node and starts it again, with its whole log to apply.
func (s *single) restart() error {
	before, err := s.cluster.Status(1)
	if err != nil {
		return err
	}
	s.cluster.Kill(1)
	began := time.Now()
	if err := s.cluster.Run(1); err != nil {
		return err
	}
	node := s.cluster.Node(1)
	if err := node.Probe(1); err != nil {
		return err
	}
	opened := time.Since(began)
	written, err := node.Await(1, began, recoverWithin)
	if err != nil {
		return err
	}
	after, err := s.cluster.Status(1)
	if err != nil {
		return err
	}
	if after.Applied <= before.Applied {
		return fmt.Errorf("%d operations before the restart, %d after it and a write", before.Applied, after.Applied)
	}
	s.samples = append(s.samples, restart{opened, written.Sub(began)})
	return node.StopProbe(1)
}
