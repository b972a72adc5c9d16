package raft

import (
	"errors"
	"slices"
)

// metrics are a replica's counters and histograms, written to by its inputs and
// so within the executor's lock: to count something is an addition.
type metrics struct {
	Counters
	admissions []admission // that are not committed, ascending

	// See Metrics.
	proposalLatency tally
	commitLatency   tally
	readLatency     tally
	applyLatency    tally
	writeLatency    tally
	admittedEntries tally
	writeEntries    tally
	writeBytes      tally
	applyEntries    tally
}

// histograms fills in those of to.
func (m *metrics) histograms(to *Metrics) {
	to.ProposalLatency = m.proposalLatency.histogram()
	to.CommitLatency = m.commitLatency.histogram()
	to.ReadLatency = m.readLatency.histogram()
	to.ApplyLatency = m.applyLatency.histogram()
	to.WriteLatency = m.writeLatency.histogram()
	to.AdmittedEntries = m.admittedEntries.histogram()
	to.WriteEntries = m.writeEntries.histogram()
	to.WriteBytes = m.writeBytes.histogram()
	to.ApplyEntries = m.applyEntries.histogram()
}

// admission is a batch that a leader has taken into its log.
type admission struct {
	last Index
	at   Instant
}

// countProposal counts the end of a proposal of this node's.
func (r *replica) countProposal(now Instant, f *future, err error) {
	m := &r.metrics
	switch {
	case f.kind == EntryStateHash:
		// This replica's own: nobody has called Propose.
	case err == nil:
		m.ProposalsCommitted++
		m.proposalLatency.since(f.began, now)
	case errors.Is(err, ErrNotCommitted):
		m.ProposalsNotCommitted++
	case errors.Is(err, ErrOutcomeUnknown):
		m.ProposalsUnknown++
	default:
		m.ProposalsRefused++
	}
}

// refuse counts a proposal that was not taken, and returns err.
func (r *replica) refuse(err error) error {
	r.metrics.Proposals++
	r.metrics.ProposalsRefused++
	return err
}

// countEvents counts what events tell.
func (m *metrics) countEvents(events []Event) {
	for i := range events {
		switch e := &events[i]; e.Kind {
		case EventRole:
			switch {
			case e.Leader != 0:
				m.LeaderChanges++
			case e.Role == Candidate:
				m.Elections++
			case e.Role == PreCandidate:
				m.PreElections++
			}
		case EventSteppedDown:
			m.StepDowns++
		case EventSnapshotTaken:
			m.SnapshotsTaken++
		case EventSnapshotNotTaken:
			m.SnapshotsNotTaken++
		case EventSnapshotSent:
			m.SnapshotsSent++
		case EventSnapshotNotSent:
			m.SnapshotsNotSent++
		case EventSnapshotRestored:
			m.SnapshotsRestored++
		}
	}
}

// countSent counts messages that are given to the transport.
func (m *metrics) countSent(messages []Message) {
	m.MessagesSent += uint64(len(messages))
	m.BytesSent += dataBytes(messages)
}

func (m *metrics) countReceived(messages []Message) {
	m.MessagesReceived += uint64(len(messages))
	m.BytesReceived += dataBytes(messages)
}

func dataBytes(messages []Message) (bytes uint64) {
	for i := range messages {
		entries := messages[i].Entries
		for j := range entries {
			bytes += uint64(len(entries[j].Data))
		}
	}
	return bytes
}

func (m *metrics) countWrite(w *Write) {
	if len(w.Entries) == 0 {
		return
	}
	bytes := 0
	for i := range w.Entries {
		bytes += len(w.Entries[i].Data)
	}
	m.writeEntries.observe(uint64(len(w.Entries)))
	m.writeBytes.observe(uint64(bytes))
}

// admitted counts a batch of n entries that ends at last.
func (m *metrics) admitted(now Instant, n int, last Index) {
	m.admittedEntries.observe(uint64(n))
	m.admissions = append(m.admissions, admission{last, now})
}

// committed counts the batches up to the commit index.
func (m *metrics) committed(now Instant, commit Index) {
	n := 0
	for n < len(m.admissions) && m.admissions[n].last <= commit {
		m.commitLatency.since(m.admissions[n].at, now)
		n++
	}
	m.admissions = slices.Delete(m.admissions, 0, n)
}

// allMetrics returns the metrics, with the gauges as they are now.
func (r *replica) allMetrics() Metrics {
	m, core := Metrics{Counters: r.metrics.Counters}, r.core
	r.metrics.histograms(&m)
	m.MessagesIgnored = core.ignored
	m.Term, m.CommitIndex, m.AppliedIndex = uint64(core.term), uint64(core.commit), uint64(core.applied)
	m.DurableIndex, m.LastIndex, m.SnapshotIndex = uint64(core.durable()), uint64(core.log.last), uint64(core.log.snapshot.index)
	m.LogEntries = uint64(core.log.last - core.log.base)
	m.LogMemoryBytes = uint64(core.log.window.bytes(0, core.log.last))
	m.ApplyLag = uint64(core.commit - min(core.applied, core.commit))
	if core.role == Leader {
		m.Leading, m.UncommittedBytes = 1, uint64(core.uncommitted())
		for i := range core.peers {
			if p := &core.peers[i]; p.voter {
				m.PeerLag = max(m.PeerLag, uint64(core.log.last-p.match))
			}
		}
	}
	m.ProposalsPending = m.Proposals - m.ProposalsCommitted - m.ProposalsNotCommitted - m.ProposalsUnknown - m.ProposalsRefused
	m.PendingBytes, m.ForwardedBytes = uint64(r.proposals.bytes), uint64(r.inbox.size())
	m.WritesInFlight = r.saved - r.durable
	return m
}
