package mutation

import (
	"flag"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	runAll = flag.Bool("mutations.all", false, "TestMutations: every mutation and every engine, and the table must be as it is committed")
	update = flag.Bool("mutations.update", false, "TestMutations: write the table of all mutations")
	only   = flag.String("mutations.only", "", "TestMutations: the mutation of this ID")
)

const (
	module    = "../.."
	tablePath = module + "/docs/mutations.md"
)

// quickEvents is what a simulator that finds a mutation within so many events
// takes a moment for: these are run by go test ./...
const quickEvents = 20_000

// quickBudget is how long one of them may take, seeds for the case that a
// change elsewhere has brought other events under them.
var quickBudget = Budget{Seeds: 1_000, Time: time.Minute}

// job is one mutation to be found by one engine.
type job struct {
	mutation *Mutation
	engine   *Engine
	budget   Budget
}

// TestMutations applies the mutations, one at a time, and demands that their
// checkers find them: within the engines' budgets all of them if asked to, and
// in a moment those that the table says are easily found.
func TestMutations(t *testing.T) {
	mutations := All()
	committed, err := os.ReadFile(tablePath)
	require.NoError(t, err)
	jobs := quickJobs(mutations, Rows(string(committed)))
	whole := *runAll || *update
	if whole || *only != "" {
		jobs = allJobs(mutations, *only)
	}
	hunters, err := NewHunters(module, t.TempDir(), mutations)
	require.NoError(t, err)
	for _, j := range jobs {
		require.NoError(t, hunters.Build(j.engine))
	}
	rows := make([]Row, len(jobs))
	each(t, len(jobs), func(i int) {
		j := &jobs[i]
		report, err := hunters.Hunt(j.engine, j.mutation.ID, j.budget)
		switch {
		case err != nil:
			t.Errorf("%s, by %s: %v", j.mutation.ID, j.engine.Name, err)
		case !report.Caught:
			t.Errorf("%s survives %s (%d seeds, %d events): %s: in %s, %s, %q is not noticed",
				j.mutation.ID, j.engine.Name, report.Seeds, report.Events, j.mutation.Wrong, j.mutation.File, j.mutation.Func, j.mutation.Replace)
		}
		rows[i] = rowOf(j.mutation, j.engine, &report)
		if whole || *only != "" {
			t.Logf("%+v", rows[i])
		}
	})
	if !whole || t.Failed() {
		return
	}
	table := Table(mutations, rows)
	if *update {
		require.NoError(t, os.WriteFile(tablePath, []byte(table), 0o644))
		return
	}
	require.Equal(t, table, string(committed), "%s is not up to date: -mutations.update", tablePath)
}

// Without a mutation the engines find nothing: what they find is the mutation.
func TestNothingIsFoundWithoutAMutation(t *testing.T) {
	jobs := []job{
		{engine: Core, budget: Budget{Seeds: 300, Time: time.Minute}},
		{engine: Stack, budget: Budget{Seeds: 5, Time: time.Minute}},
		{engine: Model, budget: Budget{Seeds: 5, Time: time.Minute}},
	}
	if *runAll {
		for i := range jobs {
			jobs[i].budget = jobs[i].engine.Budget
		}
	}
	hunters, err := NewHunters(module, t.TempDir(), All())
	require.NoError(t, err)
	require.NoError(t, hunters.Build(Core))
	each(t, len(jobs), func(i int) {
		report, err := hunters.Hunt(jobs[i].engine, "", jobs[i].budget)
		if err != nil || report.Caught || report.Seeds == 0 {
			t.Errorf("%s: %v: %+v", jobs[i].engine.Name, err, report)
		}
	})
}

// Each row of SCENARIOS.md, M, is there; and each
// mutation is told apart, and has somebody to find it.
func TestListIsComplete(t *testing.T) {
	rows := map[string]bool{}
	for _, m := range All() {
		rows[rowID(m.ID)] = true
		require.NotEmpty(t, m.By, m.ID)
		require.NotEmpty(t, m.Wrong, m.ID)
		require.NotContains(t, m.Wrong, "|", "it goes into a table")
	}
	for n := 1; n <= 38; n++ {
		require.True(t, rows["M"+number(n)], "M%d", n)
	}
}

// rowID is an ID without the letter that tells apart several of a row.
func rowID(id string) string {
	if last := id[len(id)-1]; last >= 'a' {
		return id[:len(id)-1]
	}
	return id
}

// What the table says is read back from it.
func TestTableIsReadBack(t *testing.T) {
	mutations := []Mutation{{ID: "M1", File: "a.go", Func: "f", Wrong: "it is", By: []*Engine{Core, test(".", "TestX")}}}
	rows := []Row{{ID: "M1", Engine: "coresim", Checker: "bounds", Seeds: 3, Events: 70}, {ID: "M1", Engine: "go test .", Checker: "TestX"}}
	table := Table(mutations, rows)
	require.Equal(t, rows, Rows(table))
}

// quickJobs are those that the table says take a moment.
func quickJobs(mutations []Mutation, rows []Row) (jobs []job) {
	for _, j := range allJobs(mutations, "") {
		quick := func(r Row) bool {
			return r.ID == j.mutation.ID && r.Engine == j.engine.Name && 0 < r.Events && r.Events <= quickEvents
		}
		if slices.ContainsFunc(rows, quick) {
			j.budget = quickBudget
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// allJobs are those of all mutations, or of the one with an ID.
func allJobs(mutations []Mutation, id string) (jobs []job) {
	for i := range mutations {
		for _, e := range mutations[i].By {
			if id == "" || id == mutations[i].ID {
				jobs = append(jobs, job{&mutations[i], e, e.Budget})
			}
		}
	}
	return jobs
}

// each calls do for 0 … n-1, two at a time.
func each(t *testing.T, n int, do func(i int)) {
	t.Helper()
	next := make(chan int)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
}
