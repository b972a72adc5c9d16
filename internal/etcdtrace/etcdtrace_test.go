package etcdtrace

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRandomRuns(t *testing.T) {
	names := map[string]int{}
	total, ended := 0, map[string]int{}
	for seed := range uint64(300) {
		d := random(t, seed, 1500, seed%2 == 0)
		events := d.r.events()
		require.NoError(t, checkTrace(events), "seed %d", seed)
		for _, e := range events {
			names[e.Name]++
		}
		total += len(events)
		if d.r.Ended() != "" {
			ended[fmt.Sprint(seed%2)]++
		}
	}
	t.Log(names, total, ended)
}
