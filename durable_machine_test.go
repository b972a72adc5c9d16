package raft

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// durableDisk holds entries 1 to 10 of term 2, of which those from first on are
// still in the log, and a snapshot at 6.
func durableDisk(first Index) *testDisk {
	d := diskOf(1, 2, repeat(10, 2)...)
	d.hard.Commit = 7
	d.snapshot = Snapshot{Index: 6, Term: 2, Membership: founding(1)}
	d.first, d.log = first, d.log[first-1:]
	return d
}

// What a state machine that is durable by itself has applied is not restored
// and not applied again; what it lacks is taken from the log, as long as that
// reaches back so far.
func TestStartFromWhatIsApplied(t *testing.T) {
	for _, test := range []struct {
		applied, first Index
		restore        bool
		next           Index // to be applied first
	}{
		{applied: 0, first: 1, restore: true},
		{applied: 3, first: 1, next: 4},
		{applied: 3, first: 4, next: 4},
		{applied: 3, first: 5, restore: true},
		{applied: 6, first: 7, next: 7},
		{applied: 5, first: 7, restore: true},
		{applied: 8, first: 7, next: 9},
		{applied: 10, first: 7},
	} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			c := newLoneCoreFrom(t, durableDisk(test.first).load(), func(cfg *CoreConfig) { cfg.Applied = test.applied })
			status := c.Status()
			if test.restore {
				require.Len(t, c.restores, 1)
				require.Zero(t, status.Applied)
				return
			}
			require.Empty(t, c.restores)
			require.Equal(t, test.applied, status.Applied)
			require.Equal(t, max(7, test.applied), status.Commit, "what is applied is committed")
			if test.next == 0 || test.next > 7 {
				require.Empty(t, c.logReads, "nothing more is known to be committed")
				return
			}
			require.Equal(t, []LogRead{{Term: 2, Lo: test.next, Hi: 8, MaxBytes: c.cfg.MaxApplyBytes}}, c.logReads)
		})
	}
}

func TestStateMachineThatIsAheadOfTheLog(t *testing.T) {
	cfg := DefaultCoreConfig(1, rand.NewPCG(1, 1))
	cfg.Applied = 11
	_, err := New(cfg, durableDisk(7).load(), 0)
	var ahead *AheadError
	require.ErrorAs(t, err, &ahead)
	require.Equal(t, AheadError{Applied: 11, Last: 10}, *ahead)
}
