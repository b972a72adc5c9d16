package raft

// (being written) The signatures of the core that other files build on.

// Raft is the core: a function from (state, input) to (state, output), with
// no goroutine, lock, clock, disk or socket in it. It is not safe for
// concurrent use.
//
// Every input carries the host's monotonic time.
type Raft struct{}

// New returns a core that continues from initial: what Storage.Load returned,
// or for the first start of a founding member State{Snapshot: Snapshot{Membership: m}}.
// The state machine is taken to be empty: if initial has a snapshot, the first
// Ready asks to Restore it.
func New(cfg CoreConfig, initial State, now Instant) (*Raft, error) { panic("core") }

// Step takes a peer's message. m and its Entries slice are the caller's again
// when it returns. An error (ErrMalformed, …) says why m was ignored.
// Propose and ProposeReply are not for the core: they are an error.
func (r *Raft) Step(now Instant, m *Message) error { panic("core") }

// Tick fires the timers that are due. Call it at Deadline, after all
// messages that have arrived have been stepped.
func (r *Raft) Tick(now Instant) { panic("core") }

// Deadline is when Tick is next needed; Never if not at all.
func (r *Raft) Deadline() Instant { panic("core") }

// Propose appends entries (Type, Data, Origin; the core sets Term and Index in
// its own copy) to a leader's log, all or none, and returns the first one's
// index. Errors: ErrNotLeader (a *NotLeaderError), ErrOverloaded, ErrTooLarge,
// ErrStopped.
func (r *Raft) Propose(now Instant, entries []Entry) (Index, error) { panic("core") }

// ReadIndex asks for an index that a linearizable read may be served at. The
// answer comes as a ReadState with id. On a follower it goes to the leader; a
// lost message loses the request, so ask again after a while, with another id.
// The error is ErrNotLeader when no leader is known.
func (r *Raft) ReadIndex(now Instant, id uint64) error { panic("core") }

// Persisted says that all writes up to seq are durable.
func (r *Raft) Persisted(now Instant, seq uint64) { panic("core") }

// PersistFailed says that a write has failed. The core stops for good: it
// does not vote, lead or acknowledge any more.
func (r *Raft) PersistFailed(now Instant, err error) { panic("core") }

// Applied says that everything up to index has been applied (or, after
// Ready.Restore, restored).
func (r *Raft) Applied(now Instant, index Index) { panic("core") }

// LogRead answers one of Ready.LogReads with what Storage.Entries returned.
func (r *Raft) LogRead(now Instant, request LogRead, entries []Entry, err error) { panic("core") }

// SnapshotAt returns the metadata (all but Size and Checksum) of a snapshot of
// the state machine that has applied exactly index, which is the last index
// given to Applied or above the log's first.
func (r *Raft) SnapshotAt(index Index) (Snapshot, error) { panic("core") }

// Compacted says that a local snapshot is committed in the storage, and that
// the log up to and including through, which it covers, is gone.
func (r *Raft) Compacted(now Instant, snapshot Snapshot, through Index) { panic("core") }

// SnapshotSent says how sending one of Ready.Snapshots ended: with index, that
// of the snapshot that was sent, and err nil if the receiver has accepted it.
func (r *Raft) SnapshotSent(now Instant, peer NodeID, index Index, err error) { panic("core") }

// Unreachable says that messages to peer may have been lost.
func (r *Raft) Unreachable(now Instant, peer NodeID) { panic("core") }

// Ready returns, and hands over, everything that is to be done now.
func (r *Raft) Ready() Ready { panic("core") }

// Status returns the state.
func (r *Raft) Status() Status { panic("core") }

// Cheap parts of Status.
func (r *Raft) Role() Role     { panic("core") }
func (r *Raft) Term() Term     { panic("core") }
func (r *Raft) Leader() NodeID { panic("core") }
func (r *Raft) Commit() Index  { panic("core") }
func (r *Raft) Last() Index    { panic("core") }
func (r *Raft) Err() error     { panic("core") } // why it has stopped, or nil
