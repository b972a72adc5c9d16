package codec_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/bench/codec"
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
	err := codec.Run(context.Background(), codec.Options{Rounds: 1, Round: time.Millisecond, Procs: 1, Out: &out})
	require.NoError(t, err)
	require.Equal(t, 4, strings.Count(out.String(), "\n| encode |"), "%s", &out)
	require.Equal(t, 5, strings.Count(out.String(), "\n| decode |"), "%s", &out)
	require.Equal(t, 2, strings.Count(out.String(), "\n- met: ")+strings.Count(out.String(), "\n- missed: "))
}
