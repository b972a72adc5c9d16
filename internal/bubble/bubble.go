// Package bubble lets time pass in tests, virtual time only: that of a bubble
// of testing/synctest, where an hour takes no time and comes when nothing else
// can happen any more.
package bubble

import "time"

// latest is what no clock outside of a bubble shows: bubbles begin with the
// year 2000.
var latest = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// Sleep lets d pass. It panics outside of a bubble: a test that sleeps to wait
// is slow, or fails on a machine that is.
func Sleep(d time.Duration) {
	if time.Now().After(latest) {
		panic("bubble.Sleep outside of a bubble: wait for an event instead")
	}
	time.Sleep(d)
}
