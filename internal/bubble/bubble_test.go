package bubble_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/internal/bubble"
)

func TestTimePassesInABubbleOnly(t *testing.T) {
	require.Panics(t, func() { bubble.Sleep(0) })
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		bubble.Sleep(time.Hour)
		require.Equal(t, time.Hour, time.Since(began))
	})
}
