package raft

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A logger writes events for a person who operates the node. It is the only
// source of log lines.
type logger struct {
	log     *zap.Logger
	ignored uint64 // messages
}

func newLogger(cfg *Config) *logger {
	return &logger{log: cfg.Logger.With(zap.Uint64("node", uint64(cfg.ID)), zap.Uint64("group", uint64(cfg.Group)))}
}

// enabled reports whether anything can come of it.
func (l *logger) enabled() bool { return l.log.Core().Enabled(zapcore.FatalLevel) }

// event writes one line. Of the messages that were ignored it is one for the
// 1st, 2nd, 4th, 8th …
func (l *logger) event(e *Event) {
	if e.Kind == EventIgnored {
		if l.ignored++; l.ignored&(l.ignored-1) != 0 {
			return
		}
	}
	line := l.log.Check(e.Kind.level(), e.Kind.String())
	if line == nil {
		return
	}
	fields := []zap.Field{zap.Stringer("role", e.Role), zap.Uint64("term", uint64(e.Term)), zap.Uint64("leader", uint64(e.Leader))}
	add := func(present bool, f zap.Field) {
		if present {
			fields = append(fields, f)
		}
	}
	add(e.Peer != 0, zap.Uint64("peer", uint64(e.Peer)))
	add(e.Kind == EventPeerState, zap.Stringer("state", e.State))
	add(e.Index != 0, zap.Uint64("index", uint64(e.Index)))
	add(e.Count != 0, zap.Uint64("count", e.Count))
	add(e.Duration != 0, zap.Duration("duration", e.Duration))
	add(e.Reason != "", zap.String("reason", e.Reason))
	add(e.Kind == EventIgnored, zap.Uint64("ignored", l.ignored))
	add(e.Err != nil, zap.Error(e.Err))
	line.Write(fields...)
}

// level is how much a person should care: at Warn and above something does not
// work as it should.
func (k EventKind) level() zapcore.Level {
	switch k {
	case EventEnded:
		return zapcore.WarnLevel
	case EventMarked, EventPeerLost, EventCommitStalled, EventSteppedDown, EventTransferFailed, EventRemoved, EventSnapshotNotTaken,
		EventSnapshotNotReceived, EventSnapshotNotSent, EventLogNotCompacted, EventOverloadBegun, EventDiskSlow,
		EventApplySlow, EventsLost:
		return zapcore.WarnLevel
	case EventPeerState:
		return zapcore.DebugLevel
	}
	return zapcore.InfoLevel
}
