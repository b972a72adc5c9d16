package failover

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/seed-6281cb22/raft/bench/internal/rig"
)

// subject is one library's cluster, whose leader fails again and again.
type subject struct {
	library string
	timing  contender.Timing
	limit   time.Duration
	rig     *rig.Rig
	cluster *rig.Cluster
}

// sample is one failover.
type sample struct {
	outage time.Duration // the longest time without an acknowledgement, as of the fault
	never  bool          // it did not end before the limit
	after  time.Duration // the longest time without one as of when the leader is back
}

// restart begins with a new cluster.
func (s *subject) restart(ctx context.Context) (err error) {
	s.cluster, err = s.rig.Start(rig.Spec{Library: s.library, Timing: s.timing})
	if err != nil {
		return err
	}
	_, err = s.cluster.Settled(ctx, settleWithin)
	return err
}

const (
	// phase is how long at most a leader leads in peace before it fails. It is
	// longer than any contender's interval between heartbeats, so that no fault
	// comes at a certain time after one.
	phase = time.Second
	// grace is how long after a fault writes do not count: it may not have reached
	// all threads of a process yet.
	grace = 2 * time.Millisecond
	// peace is for how long writes are looked at when the leader is back.
	peace = time.Second
)

// turn has the leader fail once, and come back. It returns what it has measured
// even where the cluster could not be healed, which is an error.
func (s *subject) turn(ctx context.Context, f fault) (*sample, error) {
	before, err := s.peaceful(ctx)
	if err != nil {
		return nil, err
	}
	asked := s.cluster.Others(before.Leader)
	if f.lives {
		asked = s.cluster.Nodes()
	}
	if err := s.probe(asked); err != nil {
		return nil, err
	}
	if err := rig.Wait(ctx, rand.N(phase)); err != nil {
		return nil, err
	}
	if now, err := s.cluster.Status(before.Leader); err != nil || now.Leader != before.Leader || now.Term != before.Term {
		return nil, errors.Join(fmt.Errorf("node %d led in term %d, and before it failed node %d in term %d", before.Leader, before.Term, now.Leader, now.Term), err)
	}
	measured, err := s.outage(ctx, f, before.Leader, asked)
	if err != nil {
		return nil, err
	}
	if measured.after, err = s.comeback(ctx, f, before.Leader, asked); err != nil {
		return measured, fmt.Errorf("after the fault: %w", err)
	}
	return measured, nil
}

// peaceful waits until the cluster is well: the leader, too, acknowledges
// writes. Followers of some libraries do not pass any on.
func (s *subject) peaceful(ctx context.Context) (host.Status, error) {
	settled, err := s.cluster.Settled(ctx, settleWithin)
	if err != nil {
		return settled, err
	}
	leader := []int{settled.Leader}
	if err := s.probe(leader); err != nil {
		return settled, err
	}
	if _, err := s.first(leader, time.Now(), s.limit); err != nil {
		return settled, fmt.Errorf("before the fault: %w", err)
	}
	return settled, s.cluster.Node(settled.Leader).StopProbe(settled.Leader)
}

// outage has the leader fail, and waits until writes are acknowledged again.
func (s *subject) outage(ctx context.Context, f fault, leader int, asked []int) (*sample, error) {
	began := time.Now()
	if err := f.inject(s, leader); err != nil {
		return nil, err
	}
	since := time.Now().Add(grace)
	_, err := s.first(asked, since, s.limit)
	if err == nil && f.lives {
		if err := rig.Wait(ctx, afterFirst); err != nil {
			return nil, err
		}
		_, err = s.first(asked, time.Now(), s.limit)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return &sample{outage: s.limit, never: true}, nil
	}
	ended, err := s.successes(asked, since)
	if err != nil {
		return nil, err
	}
	if !f.lives {
		ended = ended[:1]
	}
	return &sample{outage: longestGap(began, ended)}, nil
}

// comeback ends the fault, and returns the longest time without an
// acknowledgement of the next second or so.
func (s *subject) comeback(ctx context.Context, f fault, leader int, asked []int) (time.Duration, error) {
	began := time.Now()
	if err := f.heal(s, leader); err != nil {
		return 0, err
	}
	if !f.lives {
		if err := s.probe([]int{leader}); err != nil {
			return 0, err
		}
		asked = s.cluster.Nodes()
	}
	if err := rig.Wait(ctx, peace); err != nil {
		return 0, err
	}
	if _, err := s.first(asked, time.Now(), settleWithin); err != nil {
		return 0, err
	}
	ended, err := s.successes(asked, began)
	if err != nil {
		return 0, err
	}
	for _, node := range asked {
		if err := s.cluster.Node(node).StopProbe(node); err != nil {
			return 0, err
		}
	}
	return longestGap(began, ended), nil
}

func (s *subject) probe(nodes []int) error {
	for _, node := range nodes {
		if err := s.cluster.Node(node).Probe(node); err != nil {
			return err
		}
	}
	return nil
}

// first returns when the first write that began at or after since was
// acknowledged by any of the nodes.
func (s *subject) first(nodes []int, since time.Time, within time.Duration) (time.Time, error) {
	type answer struct {
		ended time.Time
		err   error
	}
	answers := make(chan answer, len(nodes)) // who comes late is not waited for
	for _, node := range nodes {
		process := s.cluster.Node(node)
		go func() {
			ended, err := process.Await(node, since, within)
			answers <- answer{ended, err}
		}()
	}
	var errs []error
	for range nodes {
		a := <-answers
		if a.err == nil {
			return a.ended, nil
		}
		errs = append(errs, a.err)
	}
	return time.Time{}, errors.Join(errs...)
}

// successes returns in order when writes that began at or after since were
// acknowledged by any of the nodes.
func (s *subject) successes(nodes []int, since time.Time) ([]time.Time, error) {
	var all []time.Time
	for _, node := range nodes {
		ended, err := s.cluster.Node(node).Successes(node, since)
		if err != nil {
			return nil, err
		}
		all = append(all, ended...)
	}
	slices.SortFunc(all, time.Time.Compare)
	return all, nil
}

// longestGap returns the longest time from began or one of ended, which are in
// order, to the next.
func longestGap(began time.Time, ended []time.Time) time.Duration {
	var longest time.Duration
	for _, t := range ended {
		longest = max(longest, t.Sub(began))
		began = t
	}
	return longest
}
