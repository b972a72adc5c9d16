// Package drive lets a deterministic simulation take the place of the
// goroutines behind which a pure part of the library stands in production.
package drive

// Writer drives the write-ahead log by hand: Open sets the functions, and
// starts no goroutine. They are to be called by one goroutine at a time.
type Writer struct {
	// Random returns random numbers, for the salts. It is set before Open.
	Random func() uint64

	// Sync does what the writer goroutine does when it is woken: it writes
	// and syncs all that waits as one batch and completes it. It reports
	// whether there was any.
	Sync func() bool
	// Idle does what the writer goroutine does after a while without work.
	Idle func()
	// Pending reports whether there is work for Sync.
	Pending func() bool
}
