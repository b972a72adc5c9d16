package storagetest_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/storage/storagetest"
)

// inMemory is how storage in memory is tested. There is nothing to close, and
// it outlives its replica. In a test function: storagetest.Run(t, inMemory).
var inMemory = storagetest.Options{New: func(testing.TB) *storagetest.Device {
	s := memory.New()
	return &storagetest.Device{
		Open:  func() (raft.Storage, error) { return s, nil },
		Close: func() error { _, err := s.Load(); return err }, // waits for all writes
	}
}}

// verdict is a testing.TB for use outside of a test.
type verdict struct {
	testing.TB
	what string
}

func (v *verdict) Helper()                           {}
func (v *verdict) Failed() bool                      { return v.what == "FAILED" }
func (v *verdict) Errorf(string, ...any)             { v.what = "FAILED" }
func (v *verdict) Fatalf(format string, args ...any) { v.Errorf(format, args...); runtime.Goexit() }
func (v *verdict) Fatal(...any)                      { v.Fatalf("") }
func (v *verdict) Skip(...any)                       { v.what = "left out"; runtime.Goexit() }

func Example() {
	for _, check := range storagetest.Checks() {
		v := &verdict{what: "ok"}
		done := make(chan struct{})
		go func() {
			defer close(done)
			check.Run(v, inMemory)
		}()
		<-done
		fmt.Println(check.Name, v.what)
	}
	// Output:
	// Empty ok
	// Load ok
	// Done ok
	// Ownership ok
	// Suffix ok
	// SuffixInFlight ok
	// Terms ok
	// Memberships ok
	// Entries ok
	// Compact ok
	// SnapshotCommit ok
	// SnapshotNewest ok
	// SnapshotReader ok
	// SnapshotAndLog ok
	// Install ok
	// Concurrent ok
	// Stall left out
	// Failure left out
	// Damage left out
	// Crash left out
	// Random ok
}
