// Command hunter runs one of this module's simulators, or the model checker,
// until it finds a defect or its budget is used up, and prints a
// mutation.Report as JSON. It is built with an overlay (see package mutation),
// so that there is something to find.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/seed-6281cb22/raft/internal/mutation"
)

// hunt runs seed after seed until there is a failure, or enough is true.
type hunt func(enough func(seeds int) bool) mutation.Report

var engines = map[string]hunt{
	mutation.Core.Name:  huntCore,
	mutation.Stack.Name: huntStack,
	mutation.Model.Name: huntModel,
}

func main() {
	engine := flag.String("engine", "", "what to run")
	seeds := flag.Int("seeds", 1000, "how many seeds at most")
	limit := flag.Duration("time", time.Minute, "for how long at most")
	flag.Parse()
	run, ok := engines[*engine]
	if !ok {
		fmt.Fprintf(os.Stderr, "there is no engine %q\n", *engine)
		os.Exit(2)
	}
	go watchMemory()
	begin := time.Now()
	report := run(func(tried int) bool { return tried >= *seeds || time.Since(begin) >= *limit })
	end(report)
}

// end prints the report and ends the process.
func end(report mutation.Report) {
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// maxMemory is more than an engine needs, and less than what a machine has.
const maxMemory = 2 << 30

// watchMemory ends the hunt when a mutation makes the memory grow without a
// bound.
func watchMemory() {
	for range time.Tick(50 * time.Millisecond) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > maxMemory {
			end(mutation.Report{Caught: true, Checker: mutation.Memory})
		}
	}
}
