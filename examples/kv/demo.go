package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed-6281cb22/raft"
)

// What the demonstration does, and how long it may take at most.
const (
	demoReplicas   = 3
	demoClients    = 48
	demoKeys       = 4000 // written while all is well
	demoCrashKeys  = 2000 // written while the leader crashes
	demoMoveKeys   = 2000 // written while a member is replaced
	demoTimeLimit  = 25 * time.Second
	demoHardLimit  = 29 * time.Second // for a bug that heeds no context
	settleLimit    = 15 * time.Second
	progressPeriod = 50 * time.Millisecond
)

// runDemo runs the demonstration in a temporary directory and returns the
// exit code: 0 only if every acknowledged write is there on all replicas.
func runDemo(ctx context.Context, stdout *os.File, stderr io.Writer) int {
	dir, err := os.MkdirTemp("", "raft-kv-")
	if err != nil {
		fmt.Fprintf(stderr, "kv: %v\n", err)
		return exitFailed
	}
	watchdog := time.AfterFunc(demoHardLimit, func() {
		fmt.Fprintf(stderr, "\nkv: FAILED: hangs; gave up after %v; the logs are kept in %s\n", demoHardLimit, dir)
		os.Exit(exitFailed)
	})
	defer watchdog.Stop()
	ctx, cancel := context.WithTimeoutCause(ctx, demoTimeLimit, fmt.Errorf("not done after %v", demoTimeLimit))
	defer cancel()

	d := &demo{report: newReport(stdout), dir: dir}
	if err := d.run(ctx); err != nil {
		d.report.clear()
		if errors.Is(context.Cause(ctx), context.Canceled) {
			fmt.Fprintln(stderr, "kv: interrupted")
			os.RemoveAll(dir)
			return exitFailed
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		fmt.Fprintf(stderr, "kv: FAILED: %v\nkv: the logs are kept in %s\n", err, dir)
		return exitFailed
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintf(stderr, "kv: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// demo is one run of the demonstration.
type demo struct {
	report  *report
	dir     string
	cluster *cluster
	writes  []write // all that were acknowledged
}

func (d *demo) run(ctx context.Context) (err error) {
	d.report.line("A key-value store on %d replicas: one process, TCP on loopback,", demoReplicas)
	d.report.line("write-ahead logs with fsync in %s\n", d.dir)

	begun := time.Now()
	if d.cluster, err = startCluster(d.dir, demoReplicas); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{d.elect, d.write, d.read, d.crash, d.replace, d.compare, d.verify} {
		if err = step(ctx); err != nil {
			break
		}
	}
	closing, cancel := context.WithTimeout(context.Background(), settleLimit)
	defer cancel()
	if err = errors.Join(err, d.cluster.close(closing)); err != nil {
		return err
	}
	d.report.line("\n  OK: nothing that was acknowledged is lost. %.1f s in all.", time.Since(begun).Seconds())
	return nil
}

// elect waits for the first leader.
func (d *demo) elect(ctx context.Context) error {
	begun := time.Now()
	leader, err := d.cluster.leader(ctx)
	if err != nil {
		return err
	}
	d.report.step("elect", fmt.Sprintf("node %d leads in term %d, %s after the start",
		d.cluster.members[leader].ID, d.cluster.replicas[leader].Load().status().Term, ms(time.Since(begun))))
	return nil
}

// write writes keys from concurrent clients through every node.
func (d *demo) write(ctx context.Context) error {
	l := &load{cluster: d.cluster, clients: demoClients}
	begun := time.Now()
	if err := d.watch("write", l, demoKeys, func() error { return l.put(ctx, 0, demoKeys) }); err != nil {
		return err
	}
	d.writes = append(d.writes, l.writes...)
	what := fmt.Sprintf("%s keys, %d clients on all nodes", number(demoKeys), demoClients)
	d.report.step("write", rate(what, l, demoKeys, time.Since(begun)))
	return nil
}

// read reads them all back, linearizably, through every node.
func (d *demo) read(ctx context.Context) error {
	l := &load{cluster: d.cluster, clients: demoClients}
	begun := time.Now()
	if err := d.watch("read", l, demoKeys, func() error { return l.get(ctx, 0, demoKeys) }); err != nil {
		return err
	}
	what := fmt.Sprintf("%s keys back, linearizably", number(demoKeys))
	d.report.step("read", rate(what, l, demoKeys, time.Since(begun)))
	return nil
}

// crash ends the leader in the middle of a second batch of writes, and starts
// it again on its directory once the others have finished the batch.
func (d *demo) crash(ctx context.Context) error {
	const end = demoKeys + demoCrashKeys
	l := &load{cluster: d.cluster, clients: demoClients}
	var leader int
	var crashed time.Time
	crash := func() (err error) {
		if err = waitFor(ctx, func() bool { return l.done.Load() >= demoCrashKeys/3 }); err != nil {
			return err
		}
		if leader, err = d.cluster.leader(ctx); err != nil {
			return err
		}
		crashed = d.cluster.crash(leader)
		return nil
	}
	err := d.watch("crash", l, demoCrashKeys, func() error {
		finished := make(chan error, 1)
		go func() { finished <- l.put(ctx, demoKeys, end-demoClients) }()
		if err := errors.Join(crash(), <-finished); err != nil {
			return err
		}
		// However the threads were scheduled, some begin after the crash.
		return l.put(ctx, end-demoClients, end)
	})
	if err != nil {
		return err
	}
	d.writes = append(d.writes, l.writes...)
	first := l.firstAfter(crashed)
	d.report.step("crash",
		fmt.Sprintf("node %d, the leader, while %d clients write %s more keys", d.cluster.members[leader].ID, demoClients, number(demoCrashKeys)),
		fmt.Sprintf("next write acknowledged by node %d after %s; all %s in the end", first.node, ms(first.ended.Sub(crashed)), number(len(l.writes))),
		fmt.Sprintf("repeated: %s not committed for certain, %s with unknown outcome", number(l.notCommitted.Load()), number(l.unknown.Load())))
	return d.restart(ctx, leader)
}

// restart starts a crashed replica and waits until it has caught up.
func (d *demo) restart(ctx context.Context, crashed int) error {
	leader, err := d.cluster.leader(ctx)
	if err != nil {
		return err
	}
	goal := d.cluster.replicas[leader].Load().status().Commit

	begun := time.Now()
	if err := d.cluster.restart(crashed); err != nil {
		return err
	}
	r := d.cluster.replicas[crashed].Load()
	held := r.status().Last
	if err := waitFor(ctx, func() bool { return r.status().Applied >= goal }); err != nil {
		return fmt.Errorf("node %d did not catch up: applied %d of %d: %w", r.id, r.status().Applied, goal, err)
	}
	d.report.step("restart", fmt.Sprintf("node %d on its directory: %s entries in its log, all %s applied after %s",
		r.id, number(held), number(goal), ms(time.Since(begun))))
	return nil
}

// replace puts a new replica in the place of the leader, in one change of the
// membership, in the middle of a third batch of writes.
func (d *demo) replace(ctx context.Context) error {
	const begin = demoKeys + demoCrashKeys
	l := &load{cluster: d.cluster, clients: demoClients}
	var leader int
	var joined raft.Member
	var took time.Duration
	replace := func() (err error) {
		if leader, err = d.cluster.leader(ctx); err != nil {
			return err
		}
		if joined, err = d.cluster.join(); err != nil {
			return err
		}
		begun, old := time.Now(), d.cluster.replicas[leader].Load()
		change := []raft.Change{raft.AddVoter(joined.ID, joined.Address), raft.Remove(old.id)}
		if err := old.node.ChangeMembership(ctx, change...); err != nil {
			return err
		}
		took = time.Since(begun)
		<-old.node.Done() // it is told that it is no member any more
		if err := old.node.Err(); !errors.Is(err, raft.ErrRemoved) {
			return fmt.Errorf("node %d was removed, and ended with: %w", old.id, err)
		}
		return d.cluster.replicas[leader].Swap(nil).close(ctx)
	}
	err := d.watch("replace", l, demoMoveKeys, func() error {
		finished := make(chan error, 1)
		go func() { finished <- l.put(ctx, begin, begin+demoMoveKeys) }()
		return errors.Join(replace(), <-finished)
	})
	if err != nil {
		return err
	}
	d.writes = append(d.writes, l.writes...)
	d.report.step("replace",
		fmt.Sprintf("node %d, the leader, by the new node %d, while %d clients write %s more keys", d.cluster.members[leader].ID, joined.ID, demoClients, number(demoMoveKeys)),
		fmt.Sprintf("done after %s, without a pause; node %d was told, and has ended", ms(took), d.cluster.members[leader].ID))
	return nil
}

// compare waits until the replicas have the same state: an attempt whose
// outcome was unknown may be committed after the last acknowledgement.
func (d *demo) compare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	replicas := d.cluster.running()
	for _, r := range replicas {
		if err := r.node.ReadBarrier(ctx); err != nil {
			return fmt.Errorf("node %d: %w", r.id, err)
		}
	}
	var hashes []string
	err := waitFor(ctx, func() bool {
		hashes = hashes[:0]
		for _, r := range replicas {
			hashes = append(hashes, r.hash())
		}
		for _, h := range hashes {
			if h != hashes[0] {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("the replicas differ; hashes of nodes 1 … %d: %v", len(hashes), hashes)
	}
	d.report.step("compare", fmt.Sprintf("%d replicas, %s keys each, the same state: %.16s…",
		len(replicas), number(replicas[0].store.size()), hashes[0]))
	return nil
}

// verify looks for every acknowledged write on every replica.
func (d *demo) verify(context.Context) error {
	replicas := d.cluster.running()
	if len(replicas) != demoReplicas {
		return fmt.Errorf("%d replicas are running, not %d", len(replicas), demoReplicas)
	}
	missing := 0
	var example string
	for _, r := range replicas {
		for _, w := range d.writes {
			// A repeated attempt may have given the key a later version.
			it, found := r.readStale(w.key)
			if !found || it.value != valueOf(w.key) || it.version < w.version {
				missing++
				example = fmt.Sprintf("%s (version %d) on node %d", w.key, w.version, r.id)
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("%s acknowledged writes are missing, like %s", number(missing), example)
	}
	if want := demoKeys + demoCrashKeys + demoMoveKeys; len(d.writes) != want {
		return fmt.Errorf("%s writes were acknowledged, not %s", number(len(d.writes)), number(want))
	}
	d.report.step("verify", fmt.Sprintf("%s acknowledged writes, each one there on all %d replicas", number(len(d.writes)), len(replicas)))
	return nil
}

// watch shows progress while work is going on.
func (d *demo) watch(name string, l *load, total int, work func() error) error {
	finished := make(chan error, 1)
	go func() { finished <- work() }()
	ticker := time.NewTicker(progressPeriod)
	defer ticker.Stop()
	for {
		select {
		case err := <-finished:
			return err
		case <-ticker.C:
			d.report.progress(name, int(l.done.Load()), total)
		}
	}
}
