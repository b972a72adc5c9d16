package wal

// saver appends one entry and returns when it is durable. It belongs to one
// goroutine.
type saver func(data []byte) error

// durableLog is a log that is measured.
type durableLog interface {
	// savers returns n savers that may be used concurrently. It is called
	// once.
	savers(n int) []saver
	// syncs returns how many syncs of log files there have been.
	syncs() int64
	// snapshot tells the log that a snapshot covers all that it holds, in the
	// log's own way. It is called between turns, and not measured.
	snapshot() error
	close() error
}

// contender is a kind of log.
type contender struct {
	name string
	open func(dir string) (durableLog, error) // in an empty directory
}

const (
	bareName = "bare pwrite+fdatasync"
	oursName = "storage/wal"
)

// contenders are measured in this order. The first two are what the ratios
// refer to.
var contenders = []contender{
	{bareName, openBare},
	{oursName, openOurs},
	{"storage/wal, inline", openInline},
	{"etcd WAL", openEtcd},
	{"hashicorp raft-wal", openHashicorp},
}

// batcher gives group commit to a log that has none, as the users of such logs
// do: one goroutine takes all entries that wait and saves them at once. With
// one saver there is nothing to gather, and it calls the log itself.
type batcher struct {
	save     func(batch [][]byte) error
	requests chan request
	ended    chan struct{}
}

type request struct {
	data []byte
	done chan<- error
}

func (b *batcher) savers(n int) []saver {
	if n == 1 {
		batch := make([][]byte, 1)
		return []saver{func(data []byte) error {
			batch[0] = data
			return b.save(batch)
		}}
	}
	b.requests, b.ended = make(chan request, n), make(chan struct{})
	go b.run()
	savers := make([]saver, n)
	for i := range savers {
		done := make(chan error, 1)
		savers[i] = func(data []byte) error {
			b.requests <- request{data, done}
			return <-done
		}
	}
	return savers
}

func (b *batcher) run() {
	defer close(b.ended)
	var waiting []request
	var batch [][]byte
	for first := range b.requests {
		waiting = append(waiting[:0], first)
		for n := len(b.requests); n > 0; n-- {
			waiting = append(waiting, <-b.requests)
		}
		batch = batch[:0]
		for _, r := range waiting {
			batch = append(batch, r.data)
		}
		err := b.save(batch)
		for _, r := range waiting {
			r.done <- err
		}
	}
}

// stop ends the goroutine. No saver is in use any more.
func (b *batcher) stop() {
	if b.requests != nil {
		close(b.requests)
		<-b.ended
	}
}
