//go:build !unix

package coresim

import "time"

// cpuTime is not known here; the benchmark reports it as none.
func cpuTime() time.Duration { return 0 }
