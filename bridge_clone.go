package raft

import "github.com/seed-6281cb22/raft/internal/bridge"

func init() {
	bridge.Clone = func(core, random any) any { return core.(*Raft).clone(random.(Random)) }
	bridge.Fingerprint = func(b []byte, core any, at int64, rename []NodeID) []byte {
		f := fingerprint{b: b, at: Instant(at), rename: rename}
		f.core(core.(*Raft))
		return f.b
	}
	bridge.FingerprintMessage = func(b []byte, m *Message, rename []NodeID) []byte {
		f := fingerprint{b: b, rename: rename}
		f.message(m)
		return f.b
	}
	bridge.Fire = func(core any, timer bridge.Timer, now int64) {
		r := core.(*Raft)
		r.advance(Instant(now))
		switch timer {
		case bridge.ElectionTimer:
			r.fireElectionTimer()
		case bridge.HeartbeatTimer:
			r.fireHeartbeatTimer()
		case bridge.QuorumTimer:
			r.fireQuorumTimer()
		}
	}
}
