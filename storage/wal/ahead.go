package wal

import (
	"io"
	"math"
)

// ahead reads the segments of a chain, each once, the next one while its
// caller replays the one before: what the disk takes and what decoding takes
// then pass at the same time. In a simulation it reads when it is asked, since
// nothing is to depend on goroutines there.
type ahead struct {
	chain   []*segment
	manual  bool
	buffers [2][]byte // of the segment that is replayed, and of the next one
	begun   int       // so many segments have been read, or are being read
	reading chan readResult
}

type readResult struct {
	data []byte
	err  error
}

func newAhead(chain []*segment, manual bool) *ahead {
	a := &ahead{chain: chain, manual: manual}
	a.begin()
	return a
}

// begin reads another segment, if there is one.
func (a *ahead) begin() {
	a.reading = nil
	i := a.begun
	if i == len(a.chain) || a.manual {
		return
	}
	a.begun++
	reading := make(chan readResult, 1)
	a.reading = reading
	go func() {
		data, err := a.read(i)
		reading <- readResult{data, err}
	}()
}

// next returns the next segment's bytes, which are good until it is called
// again.
func (a *ahead) next() ([]byte, error) {
	if a.manual {
		a.begun++
		return a.read(a.begun - 1)
	}
	r := <-a.reading
	a.begin()
	return r.data, r.err
}

// end waits until no segment is being read: its file may be closed then.
func (a *ahead) end() {
	if a.reading != nil {
		<-a.reading
	}
}

// read returns the bytes of a segment up to where the next one says that it
// ends. A file that is too short gives fewer: its frames are then missing.
func (a *ahead) read(i int) ([]byte, error) {
	seg, end := a.chain[i], int64(math.MaxInt64)
	if i+1 < len(a.chain) {
		end = a.chain[i+1].header.prevEnd
	}
	size := max(0, min(seg.size, end))
	buffer := &a.buffers[i%2]
	if int64(cap(*buffer)) < size {
		*buffer = make([]byte, size)
	}
	data := (*buffer)[:size]
	n, err := seg.file.ReadAt(data, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return data[:n], nil
}
