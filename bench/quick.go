package main

import (
	"context"
	"fmt"
	"time"
)

// benchmark is one with a quick form.
type benchmark struct {
	name string
	run  func(context.Context, []string) error
}

// suite are the benchmarks, in the order of the whole.
var suite = []benchmark{
	{"core", runCore}, {"codec", runCodec}, {"wal", runWAL}, {"transport", runTransport}, {"cluster", runCluster},
	{"failover", runFailover}, {"recovery", runRecovery}, {"memory", runMemory},
}

// runQuickly runs all of them in their quick form.
func runQuickly(ctx context.Context, _ []string) error {
	began := time.Now()
	for _, b := range suite {
		fmt.Printf("\n## %s\n\n", b.name)
		if err := b.run(ctx, []string{"-quick"}); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	fmt.Printf("\nAll of it took %v.\n", time.Since(began).Round(time.Second))
	return nil
}
