package core_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/bench/core"
	"github.com/seed-6281cb22/raft/bench/internal/children"
)

// A contender's process is this program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == children.Command {
		if err := children.Serve(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestEveryCaseRuns(t *testing.T) {
	var out strings.Builder
	err := core.Run(context.Background(), core.Options{Rounds: 1, LongRounds: 1, Round: time.Millisecond, Procs: 1, Out: &out})
	require.NoError(t, err)
	for _, contender := range []string{children.Ours, children.Etcd36, children.Etcd37} {
		require.Equal(t, 30, strings.Count(out.String(), "| "+contender+" | "), "29 cases and the heap")
	}
	require.Equal(t, 6, strings.Count(out.String(), "\n- met: ")+strings.Count(out.String(), "\n- missed: "))
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out strings.Builder
	err := core.Run(ctx, core.Options{Rounds: 1, LongRounds: 1, Round: time.Millisecond, Procs: 1, Out: &out})
	require.ErrorIs(t, err, context.Canceled)
}
