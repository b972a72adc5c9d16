package main

import (
	"context"
	"strings"

	"github.com/seed-6281cb22/raft/internal/modelcheck"
	"github.com/seed-6281cb22/raft/internal/mutation"
)

// huntModel explores small bounds, one after the other: what others call a
// seed is one of them, and an event a state.
func huntModel(enough func(int) bool) mutation.Report {
	report := mutation.Report{}
	for k, bounds := range modelcheck.Small() {
		if enough(report.Seeds) {
			break
		}
		result, err := modelcheck.Check(context.Background(), bounds.Options, nil)
		report.Seeds++
		report.Events += result.States
		if err != nil {
			report.Detail = err.Error()
			break
		}
		if v := result.Violation; v != nil {
			checker, _, _ := strings.Cut(v.Broken, ":")
			report.Caught, report.Checker, report.Detail, report.Seed = true, checker, v.Broken, uint64(k)
			break
		}
	}
	return report
}
