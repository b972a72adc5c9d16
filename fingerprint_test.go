package raft

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// notInFingerprint lists the fields of a core that its fingerprint leaves out,
// and why that hides nothing.
var notInFingerprint = map[string]string{
	"now":                    "what matters of it is how long ago or how far away other times are",
	"cfg":                    "does not change in a run, and two cores that are compared have the same, but for ID",
	"log.window.sums":        "follow from the entries, but for where they begin to count",
	"log.window.sum":         "the same",
	"log.window.head":        "where in memory the entries are",
	"log.window.tail":        "the same, and their number is written",
	"writes.gathering.since": "set when the write is handed out",
	"writes.persisted":       "sequences count from it",
	"handedOut":              "messages that are the host's now",
	"restAt":                 "decides nothing but what memory is kept",
	"members.changing":       "follows from the membership",
	"events":                 "decide nothing",
	"peers.priority":         "follows from the membership",
	"members.selfPriority":   "the same",
	"peers.told":             "decides nothing but events",
	"leading.watched":        "the same",
	"ignored":                "a count for people",
}

// sharedByClone lists what a clone shares with its original, since nobody
// changes it in place.
var sharedByClone = []string{"cfg.Random", ".Data", ".Members", "restoring.", "writes.snapshot.", "Snapshot.", "err.",
	"snapshots.Message.Entries.", // it has none
}

// leaf is one value in a core that is neither a struct nor a slice nor a pointer.
type leaf struct {
	path  string
	value reflect.Value
}

// leaves finds every value that v reaches, and makes all of v writable.
func leaves(path string, v reflect.Value) (found []leaf) {
	if v.CanAddr() {
		v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			found = append(found, leaves(strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), v.Field(i))...)
		}
	case reflect.Slice:
		for i := range v.Len() {
			found = append(found, leaves(path, v.Index(i))...)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			found = leaves(path, v.Elem())
		}
	case reflect.Interface:
	default:
		found = append(found, leaf{path, v})
	}
	return found
}

// fill gives every slice in v an element, every pointer something to point to,
// and every number a value of its own.
func fill(v reflect.Value, next *uint64) {
	if v.CanAddr() {
		v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	}
	*next++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), next)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), next)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), next)
	case reflect.String:
		v.SetString(fmt.Sprint(*next))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*next))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(*next % 200)
	case reflect.Interface: // cfg.Random, cfg.Logger, err
	default:
		panic("a core has a field of a kind that this test does not know: " + v.Type().String())
	}
}

// change makes a number about twice as large: of some the fingerprint keeps only
// the power of two.
func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(2*v.Int() + 1)
	default:
		v.SetUint(v.Uint() + 1)
	}
}

// fullCore is a core in which nothing is empty. No real one looks like it.
func fullCore() *Raft {
	r, next := new(Raft), uint64(0)
	fill(reflect.ValueOf(r).Elem(), &next)
	r.log.window.head, r.log.window.tail = 0, 1
	r.writes.persisted = 0
	r.cfg.ElectionTimeout, r.cfg.HeartbeatInterval = 1<<40, 1<<40
	return r
}

func fingerprintAt(r *Raft, at Instant) string {
	f := fingerprint{at: at}
	f.core(r)
	return string(f.b)
}

// excuse returns the name on the list that a path is under, "" if none.
func excuse(path string) string {
	for name := range maps.Keys(notInFingerprint) {
		if (path == name || strings.HasPrefix(path, name+".")) && path != "cfg.ID" {
			return name
		}
	}
	return ""
}

// Every field of a core, those that will be added included, is in its
// fingerprint or on the list.
func TestFingerprintHoldsEveryField(t *testing.T) {
	listed := map[string]bool{}
	r := fullCore()
	const past, future = 1 << 20, 0 // times are relative to one of them
	for _, l := range leaves("", reflect.ValueOf(r).Elem()) {
		if name := excuse(l.path); name != "" {
			listed[name] = true
			continue
		}
		before := []string{fingerprintAt(r, past), fingerprintAt(r, future)}
		change(l.value)
		after := []string{fingerprintAt(r, past), fingerprintAt(r, future)}
		require.NotEqual(t, before, after, "%s is neither in the fingerprint nor on the list of what is not", l.path)
	}
	require.Len(t, listed, len(notInFingerprint), "something is on the list, and no field")
	running := fingerprintAt(r, past)
	r.err = ErrStopped // not what it says, but that there is one
	require.NotEqual(t, running, fingerprintAt(r, past))
}

// A clone has every field of its original, and changes nothing of it.
func TestCloneHoldsEveryFieldAndSharesNone(t *testing.T) {
	r := fullCore()
	c := r.clone(r.cfg.Random)
	original, copied := leaves("", reflect.ValueOf(r).Elem()), leaves("", reflect.ValueOf(c).Elem())
	notKept := func(l leaf) bool { // memory for later
		return l.path == "handedOut" || strings.HasPrefix(l.path, "log.window.")
	}
	original, copied = slices.DeleteFunc(original, notKept), slices.DeleteFunc(copied, notKept)
	require.Len(t, copied, len(original))
	for i := range original {
		require.Equal(t, original[i].path, copied[i].path)
		require.Equal(t, fmt.Sprint(original[i].value), fmt.Sprint(copied[i].value), original[i].path)
		shared := slices.ContainsFunc(sharedByClone, func(s string) bool { return strings.Contains(original[i].path, s) })
		before := fmt.Sprint(original[i].value)
		change(copied[i].value)
		if !shared {
			require.Equal(t, before, fmt.Sprint(original[i].value), "%s is shared", original[i].path)
		}
	}
	require.Equal(t, r.log.window.entries[:1], fullCore().log.window.entries)
	c.log.window.entries[0].Term++
	c.log.window.sums[0]++
	require.Equal(t, r.log.window, fullCore().log.window)
}

// Whatever is done to clones of the cores of a random run, from any state of
// it, the cores themselves go on as if nothing had been.
func TestStepsOfAClone(t *testing.T) {
	for seed := range uint64(4) {
		c := newTestCluster(t, 3, func(cfg *CoreConfig) { cfg.MaxMessageBytes = 100 })
		c.elect(1)
		rng := rand.New(rand.NewPCG(seed, 3))
		for range 400 {
			disturbClones(t, c)
			n := c.nodes[rng.IntN(3)]
			switch rng.IntN(6) {
			case 0:
				c.now = max(c.now.Add(DefaultHeartbeatInterval), min(n.r.Deadline(), c.now.Add(DefaultElectionTimeout)))
				c.tick(n.id)
			case 1:
				if l := c.leader(); l != 0 {
					require.NoError(t, c.propose(l, "x"))
				}
			default:
				c.settleOnce()
			}
		}
		require.NotZero(t, c.node(1).r.Commit())
	}
}

// disturbClones does to a clone of each core what may come next, and requires
// that a second clone does the same, and that the core has not changed.
func disturbClones(t *testing.T, c *testCluster) {
	for _, n := range c.nodes {
		before := fingerprintAt(n.r, c.now)
		var after [2]string
		for i := range after {
			r := n.r.clone(rand.NewPCG(1, 1))
			require.Equal(t, before, fingerprintAt(r, c.now))
			for _, f := range c.net {
				if f.m.To == n.id {
					m := f.m
					m.Entries = slices.Clone(m.Entries)
					require.NoError(t, r.Step(c.now, &m))
				}
			}
			r.Ready()
			r.Persisted(c.now, r.writes.drained)
			if r.role == Leader {
				_, err := r.Propose(c.now, []Entry{{Data: []byte("y")}})
				require.NoError(t, err)
			}
			r.fireElectionTimer()
			r.fireHeartbeatTimer()
			r.Ready()
			after[i] = fingerprintAt(r, c.now)
		}
		require.Equal(t, after[0], after[1])
		require.Equal(t, before, fingerprintAt(n.r, c.now))
	}
}

// Two ways to one state: what has been, and when, does not count.
func TestFingerprintOfAStateReachedInTwoWays(t *testing.T) {
	reach := func(start Instant, hold func(c *loneCore)) string {
		c := newLoneCore(t, 3, 1, 1)
		c.now = start
		hold(c)
		c.receive(appendFrom(2, 2, 1, 1, 0, testEntry(2, 2)))
		c.persistAll()
		f := fingerprint{at: c.now.Add(4 * DefaultElectionTimeout)}
		f.core(c.Raft)
		return string(f.b)
	}
	straight := reach(0, func(*loneCore) {})
	detour := reach(1<<40, func(c *loneCore) {
		c.receive(Message{Type: raftpb.RequestVote, From: 3, Term: 2, Index: 1, LogTerm: 1}) // granted
		c.persistAll()
		c.receive(Message{Type: raftpb.ReadIndexReply, From: 3, Term: 2}) // ignored
	})
	require.NotEqual(t, straight, detour, "the vote counts")
	late := reach(1<<40, func(c *loneCore) {
		c.receive(appendFrom(2, 2, 1, 1, 0)) // a write, memory and an ignored message more
		c.persistAll()
		c.receive(Message{Type: raftpb.ReadIndexReply, From: 3, Term: 2})
	})
	require.Equal(t, straight, late)
}

// A group whose members have changed places has the same fingerprints.
func TestFingerprintRenamed(t *testing.T) {
	rename := []NodeID{0, 3, 1, 2}
	lead := func(first, second NodeID) *testCluster {
		c := newTestCluster(t, 3, func(cfg *CoreConfig) { cfg.Random = zeroRandom{} })
		for i := range c.nodes { // addresses name nodes too
			for k := range c.nodes[i].disk.snapshot.Membership.Members {
				c.nodes[i].disk.snapshot.Membership.Members[k].Address = ""
			}
			c.restart(NodeID(i + 1))
		}
		c.elect(first)
		require.NoError(t, c.propose(first, "x"))
		c.pass(between(raftpb.AppendEntries, first, second))
		return c
	}
	a, b := lead(1, 2), lead(rename[1], rename[2])
	for id := NodeID(1); id <= 3; id++ {
		f := fingerprint{at: a.now.Add(DefaultElectionTimeout), rename: rename}
		f.core(a.node(id).r)
		require.Equal(t, fingerprintAt(b.node(rename[id]).r, b.now.Add(DefaultElectionTimeout)), string(f.b))
	}
	require.NotEqual(t, fingerprintAt(a.node(1).r, a.now), fingerprintAt(b.node(1).r, b.now))
}

// Each timer can fire by itself, whenever.
func TestFireTimers(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1)
	c.fireHeartbeatTimer()
	c.fireQuorumTimer()
	c.drain()
	require.Empty(t, c.takeSent(), "a follower has neither")
	c.fireElectionTimer()
	c.drain()
	require.Len(t, ofType(c.takeSent(), raftpb.PreVote), 2)

	c = newLoneCore(t, 3, 1, 1)
	c.lead()
	c.fireElectionTimer()
	require.Equal(t, Leader, c.Role(), "a leader has none")
	c.proposeData("x") // a disk that is slow all the time does not stop the model
	c.now = c.now.Add(10 * DefaultElectionTimeout)
	c.advance(c.now)
	c.takeSent()
	c.fireHeartbeatTimer()
	c.drain()
	require.Equal(t, Leader, c.Role())
	require.Len(t, ofType(c.takeSent(), raftpb.AppendEntries), 2)
	c.fireQuorumTimer()
	require.Equal(t, Follower, c.Role())
}
