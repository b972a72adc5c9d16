package main

import (
	"github.com/seed-6281cb22/raft/internal/coresim"
	"github.com/seed-6281cb22/raft/internal/mutation"
	"github.com/seed-6281cb22/raft/internal/tape"
)

func huntCore(enough func(int) bool) mutation.Report {
	var simulator coresim.Simulator
	report := mutation.Report{}
	for !enough(report.Seeds) {
		seed := uint64(report.Seeds)
		result, err := simulator.Run(coresim.Config{}, tape.FromSeed(seed))
		report.Seeds++
		report.Events += result.Events
		if err != nil {
			violation := err.(*coresim.Failure).Violation
			report.Caught, report.Checker, report.Detail, report.Seed = true, violation.Checker, violation.Error(), seed
			break
		}
	}
	return report
}
