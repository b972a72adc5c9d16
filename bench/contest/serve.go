package contest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"syscall"
	"time"
)

// Reply is what Serve writes, on a line of its own, for each line that it reads.
type Reply struct {
	Sample Sample
	Error  string // "": none
}

// Serve takes the first line of in for a Case, and each further one for the
// length of a turn, in nanoseconds. It does nothing between two lines, and ends
// with in, or after a Reply with an Error. What it returns is an error of in or
// out.
func Serve(in io.Reader, out io.Writer, c Contender) error {
	lines := json.NewDecoder(bufio.NewReader(in))
	var about Case
	if err := lines.Decode(&about); err != nil {
		return fmt.Errorf("reading the case: %w", err)
	}
	replies := json.NewEncoder(out)
	work, err := open(c, about)
	if failed := replies.Encode(reply(Sample{}, err)); failed != nil {
		return failed
	}
	for err == nil {
		var length time.Duration
		if err := lines.Decode(&length); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading a turn: %w", err)
		}
		var s Sample
		s, err = work(length)
		if failed := replies.Encode(reply(s, err)); failed != nil {
			return failed
		}
	}
	return nil
}

func reply(s Sample, err error) Reply {
	if err != nil {
		return Reply{Error: err.Error()}
	}
	return Reply{Sample: s}
}

// meter measures what happens between its start and its stop, any number of
// times, and adds it up.
type meter struct {
	sum     Sample
	began   time.Time
	cpu     time.Duration
	mallocs uint64
	bytes   uint64
}

func (m *meter) start() {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	m.mallocs, m.bytes, m.cpu, m.began = stats.Mallocs, stats.TotalAlloc, cpuTime(), time.Now()
}

func (m *meter) stop() {
	elapsed, cpu := time.Since(m.began), cpuTime()-m.cpu
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	m.sum.Elapsed += elapsed
	m.sum.CPU += cpu
	m.sum.Mallocs += stats.Mallocs - m.mallocs
	m.sum.Bytes += stats.TotalAlloc - m.bytes
}

// repeat measures f, which returns how many operations it has done, until the
// turn is over.
func repeat(length time.Duration, f func() (int, error)) (Sample, error) {
	var m meter
	m.start()
	for more := true; more; more = time.Since(m.began) < length {
		n, err := f()
		if err != nil {
			return Sample{}, err
		}
		m.sum.Ops += n
	}
	m.stop()
	return m.sum, nil
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
