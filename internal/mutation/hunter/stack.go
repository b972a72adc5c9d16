package main

import (
	"fmt"
	"strings"

	"github.com/seed-6281cb22/raft/internal/mutation"
	"github.com/seed-6281cb22/raft/rafttest"
)

func huntStack(enough func(int) bool) mutation.Report {
	simulation := rafttest.Simulation[*rafttest.Journal, int]{
		Machine: func() *rafttest.Journal { return new(rafttest.Journal) },
		Command: func(c *rafttest.Choices) []byte {
			return fmt.Appendf(nil, "%x%0*d", c.Uint64(), c.Intn(100), 0)
		},
		Query:    func(*rafttest.Choices) []byte { return []byte("how many") },
		Read:     func(j *rafttest.Journal, _ []byte) int { return len(j.Commands()) },
		MinNodes: 1,
	}
	report := mutation.Report{}
	for !enough(report.Seeds) {
		seed := uint64(report.Seeds)
		result, err := simulation.Run(seed)
		report.Seeds++
		report.Events += int(result.Events)
		if err != nil {
			checker, _, _ := strings.Cut(err.Error(), ":")
			report.Caught, report.Checker, report.Detail, report.Seed = true, checker, err.Error(), seed
			break
		}
	}
	return report
}
