//go:build unix

package coresim

import (
	"syscall"
	"time"
)

// cpuTime returns the processor time that this process has used: on a shared
// machine it says more than the time that has passed.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
