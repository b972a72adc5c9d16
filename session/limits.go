package session

import (
	"fmt"
	"time"

	"github.com/seed-6281cb22/raft"
)

// Limits bound what the replicas keep. They travel with the command that opens
// a session, and those that came last are in force for all sessions, on all
// replicas alike. A zero value means the default.
type Limits struct {
	// MaxSessions is how many sessions there are at most. One more, and the
	// one that was used least recently expires.
	MaxSessions int
	// MaxInFlight is how many commands of a session may be without an
	// outcome that its client knows, counted from the oldest of them.
	MaxInFlight int
	// MaxResultBytes bounds the encoded results that are kept for a session.
	// One that does not fit any more is returned but not kept: if a repeat
	// asks for it, that ends with ErrResultNotKept. Where MaxInFlight
	// results fit, this never happens.
	MaxResultBytes int
	// TTL is how long a session lives, in session time, after its last use.
	// In real time that may be longer. It is shorter by as much as session
	// time was behind at that use, see the package's text on expiry. It is
	// counted in milliseconds.
	TTL time.Duration
}

// Defaults, see Limits.
const (
	DefaultMaxSessions    = 1 << 16
	DefaultMaxInFlight    = 64
	DefaultMaxResultBytes = 64 << 10
	DefaultTTL            = 24 * time.Hour
)

// The largest limits. They are part of what every replica must agree on, like
// the encoding of commands.
const (
	maxSessions    = 1 << 24
	maxInFlight    = 1 << 16
	maxResultBytes = 1 << 30
	maxTTL         = 100 * 365 * 24 * time.Hour
)

func (l Limits) withDefaults() Limits {
	if l.MaxSessions == 0 {
		l.MaxSessions = DefaultMaxSessions
	}
	if l.MaxInFlight == 0 {
		l.MaxInFlight = DefaultMaxInFlight
	}
	if l.MaxResultBytes == 0 {
		l.MaxResultBytes = DefaultMaxResultBytes
	}
	if l.TTL == 0 {
		l.TTL = DefaultTTL
	}
	return l
}

// validate returns a *raft.ConfigError that names the first wrong field.
func (l Limits) validate() error {
	for _, f := range []struct {
		name  string
		value int
		most  int
	}{
		{"MaxSessions", l.MaxSessions, maxSessions},
		{"MaxInFlight", l.MaxInFlight, maxInFlight},
		{"MaxResultBytes", l.MaxResultBytes, maxResultBytes},
	} {
		if f.value < 1 || f.value > f.most {
			return &raft.ConfigError{Field: "session.Limits." + f.name, Reason: fmt.Sprintf("must be in 1 … %d", f.most)}
		}
	}
	if l.TTL < time.Millisecond || l.TTL > maxTTL {
		return &raft.ConfigError{Field: "session.Limits.TTL", Reason: fmt.Sprintf("must be in 1ms … %v", maxTTL)}
	}
	return nil
}
