package raft

import "time"

// SystemClock is a Clock that takes the operating system's time to be within
// MaxError of true time. Whoever uses it promises that: with a daemon that keeps
// the time by NTP or PTP, monitors its error, and stops this process, or the
// machine, when it exceeds the bound. A leap second that is not smeared breaks
// it, and so does a virtual machine that is resumed with an old time.
//
// The zero SystemClock is never sure of the time.
type SystemClock struct {
	MaxError time.Duration
}

// Now implements Clock.
func (c SystemClock) Now() (earliest, latest uint64, ok bool) {
	now := time.Now().UnixNano()
	if c.MaxError <= 0 || now <= int64(c.MaxError) {
		return 0, 0, false
	}
	return uint64(now - int64(c.MaxError)), uint64(now + int64(c.MaxError)), true
}
