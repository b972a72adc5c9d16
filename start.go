package raft

import (
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Start starts a replica with its state machine, which must be empty: what it
// held is restored from the storage's snapshot and log. Or it is durable by
// itself, see DurableStateMachine.
//
// Errors: a *ConfigError that names the wrong field, an *IdentityError when
// the storage belongs to another node or cluster, an *AheadError when the state
// machine has applied what the storage has lost, a *CorruptError and others from
// the storage, and what Transport.Start returns.
func Start[R any](cfg Config, sm StateMachine[R]) (*Node[R], error) {
	if sm == nil {
		return nil, &ConfigError{"StateMachine", "must not be nil"}
	}
	x, err := start(cfg, &typedMachine[R]{sm: sm}, &realTime{start: time.Now()})
	if err != nil {
		return nil, err
	}
	return &Node[R]{x: x}, nil
}

func start(cfg Config, m machine, env environment) (*executor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if cfg.CompareStateEvery > 0 && m.hasher() == nil {
		return nil, &ConfigError{"CompareStateEvery", "must be 0: the state machine is no StateHasher"}
	}
	applied := m.lastApplied()
	initial, err := load(&cfg, applied)
	if err != nil {
		return nil, err
	}
	x := newExecutor(cfg, m, env)
	x.cluster = initial.Identity.Cluster
	seed := env.random()
	coreCfg := cfg.core(rand.NewPCG(seed[0], seed[1]))
	coreCfg.Applied = applied
	core, err := New(coreCfg, initial, x.now())
	if err != nil {
		return nil, err
	}
	x.replica = newReplica(core, &x.cfg, initial, seed[2], x)
	x.syncPeers()
	if err := cfg.Transport.Start(initial.Identity, x); err != nil {
		x.end(ErrClosed)
		return nil, fmt.Errorf("raft: transport: %w", err)
	}
	x.mu.Lock()
	x.replica.settle(x.now())
	x.unlock()
	return x, nil
}

// load returns what the storage holds, which is no less than the state machine
// has applied. Empty storage is given its identity, and the founding
// membership, before anything else happens.
func load(cfg *Config, applied Index) (State, error) {
	state, err := cfg.Storage.Load()
	if err != nil {
		return State{}, fmt.Errorf("raft: storage: %w", err)
	}
	if applied > state.Last {
		return State{}, &AheadError{Applied: applied, Last: state.Last}
	}
	given := Identity{Cluster: cfg.Cluster, Node: cfg.ID}
	if state.Identity != (Identity{}) {
		if given.Cluster == "" {
			given.Cluster = state.Identity.Cluster
		}
		if state.Identity != given {
			return State{}, &IdentityError{Stored: state.Identity, Given: given}
		}
		return state, nil
	}
	if state.Last != 0 || state.Snapshot.Index != 0 || state.HardState != (HardState{}) {
		return State{}, &IdentityError{Given: given} // data that is nobody's
	}
	if given.Cluster == "" {
		if len(cfg.Bootstrap) == 0 {
			return State{}, &ConfigError{"Cluster", "must be given to a node that joins a cluster: its storage is empty, and it has no Bootstrap"}
		}
		given.Cluster = clusterDigest(cfg.Bootstrap)
	}
	return found(cfg, state, given)
}

// found writes the first thing that a storage holds.
func found(cfg *Config, state State, identity Identity) (State, error) {
	state.Identity = identity
	w := Write{Seq: 1, Identity: identity}
	if len(cfg.Bootstrap) > 0 {
		state.Snapshot.Membership = foundingMembership(cfg.Bootstrap)
		w.Snapshot = &state.Snapshot
	}
	if err := saveFirst(cfg.Storage, w); err != nil {
		return State{}, err
	}
	return state, nil
}

// saveFirst makes the first write to a storage, and waits for it.
func saveFirst(storage Storage, w Write) error {
	written := make(chan error, 1)
	storage.Save(w, func(err error) { written <- err })
	if err := <-written; err != nil {
		return fmt.Errorf("raft: storage: %w", err)
	}
	return nil
}

// foundingMembership makes every member of the Bootstrap list a voter.
func foundingMembership(bootstrap []Member) Membership {
	members := make([]Member, len(bootstrap))
	for i, m := range bootstrap {
		members[i] = Member{ID: m.ID, Address: m.Address, Voter: true}
	}
	slices.SortFunc(members, byID)
	return Membership{Members: members}
}

func byID(a, b Member) int {
	if a.ID < b.ID {
		return -1
	}
	return 1
}

// clusterDigest names a cluster after its founders, and what else they begin
// with, so that founders with differing ones refuse each other.
func clusterDigest(bootstrap []Member, more ...byte) string {
	members := foundingMembership(bootstrap).Members
	var b []byte
	for _, m := range members {
		b = binary.BigEndian.AppendUint64(b, uint64(m.ID))
		b = binary.BigEndian.AppendUint64(b, uint64(len(m.Address)))
		b = append(b, m.Address...)
	}
	sum := sha256.Sum256(append(b, more...))
	return hex.EncodeToString(sum[:16])
}

// randomWords returns what tells this run of the process from all others.
func randomWords() (words [3]uint64) {
	var b [24]byte
	cryptorand.Read(b[:]) // never fails
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return words
}
