package session_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/session"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// tally counts how often each command, a number, was applied. The result is
// that count.
type tally struct {
	mu     sync.Mutex
	counts map[uint64]uint64
}

func (s *tally) Apply(entries []raft.Entry, results []uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range entries {
		n := binary.BigEndian.Uint64(e.Data)
		s.counts[n]++
		results[i] = s.counts[n]
	}
	return nil
}

func (s *tally) Snapshot() (io.WriterTo, error) { return tallySnapshot(s.all()), nil }

func (s *tally) Restore(r io.Reader) error {
	counts := map[uint64]uint64{}
	var pair [2]uint64
	for {
		switch err := binary.Read(r, binary.BigEndian, &pair); err {
		case nil:
			counts[pair[0]] = pair[1]
		case io.EOF:
			s.mu.Lock()
			defer s.mu.Unlock()
			s.counts = counts
			return nil
		default:
			return err
		}
	}
}

func (s *tally) all() map[uint64]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

type tallySnapshot map[uint64]uint64

func (s tallySnapshot) WriteTo(w io.Writer) (n int64, err error) {
	for command, count := range s {
		if err := binary.Write(w, binary.BigEndian, [2]uint64{command, count}); err != nil {
			return n, err
		}
		n += 16
	}
	return n, nil
}

type numberCodec struct{}

func (numberCodec) Append(b []byte, r uint64) []byte { return binary.AppendUvarint(b, r) }

func (numberCodec) Decode(b []byte) (uint64, error) {
	r, n := binary.Uvarint(b)
	if n != len(b) {
		return 0, fmt.Errorf("no number: %x", b)
	}
	return r, nil
}

// place is where a node runs, and runs again after a crash: a Proposer.
type place struct {
	id        raft.NodeID
	storage   raft.Storage
	mu        sync.Mutex
	transport *inmem.Transport
	node      *raft.Node[session.Result[uint64]] // nil: down
	tally     *tally
}

func (p *place) Propose(ctx context.Context, command []byte) (session.Result[uint64], error) {
	p.mu.Lock()
	node := p.node
	p.mu.Unlock()
	if node == nil {
		return session.Result[uint64]{}, raft.ErrOverloaded // for now
	}
	return node.Propose(ctx, command)
}

func (p *place) start(t *testing.T, network *inmem.Network, members []raft.Member) {
	transport, counts := network.Transport(p.id), &tally{counts: map[uint64]uint64{}}
	machine, err := session.New(counts, numberCodec{})
	require.NoError(t, err)
	node, err := raft.Start(raft.Config{
		ID: p.id, Storage: p.storage, Transport: transport, Bootstrap: members,
		SnapshotEntries: 50, TrailingEntries: 5,
	}, machine)
	require.NoError(t, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.transport, p.node, p.tally = transport, node, counts
}

func (p *place) crash(t *testing.T) {
	p.mu.Lock()
	node := p.node
	p.node = nil
	p.mu.Unlock()
	p.transport.Close()
	require.NoError(t, node.Close(context.Background()))
}

// Clients propose through nodes that crash, come back with their storage, are
// cut off and lose messages, until each of their commands has succeeded. The
// service counts each exactly once, on all nodes, and so do the results say.
func TestExactlyOnceInACluster(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) { exactlyOnce(t, seed) })
	}
}

func exactlyOnce(t *testing.T, seed uint64) {
	const clients, workers, commands = 4, 4, 40
	faults := inmem.Faults{MinDelay: time.Millisecond, MaxDelay: 20 * time.Millisecond, Loss: 0.1, Duplicate: 0.1}
	network := inmem.NewNetwork(inmem.Options{Seed: seed, Faults: faults})
	defer network.Close()
	var places []*place
	var members []raft.Member
	for id := raft.NodeID(1); id <= 3; id++ {
		places = append(places, &place{id: id, storage: memory.New()})
		members = append(members, raft.Member{ID: id, Address: fmt.Sprint("node ", id)})
	}
	for _, p := range places {
		p.start(t, network, members)
		defer func() { p.crash(t) }()
	}

	ctx, unknown := t.Context(), &unknownOutcomes{random: rand.New(rand.NewPCG(seed, 3))}
	var working sync.WaitGroup
	for client := range uint64(clients) {
		var proposers []session.Proposer[uint64]
		for i := range places {
			proposers = append(proposers, &stub{places[(int(client)+i)%3], unknown})
		}
		c, err := session.Open(ctx, session.Options{AttemptTimeout: time.Second}, proposers...)
		require.NoError(t, err)
		for worker := range uint64(workers) {
			working.Go(func() {
				for i := range uint64(commands) {
					n := client<<32 | worker<<16 | i
					count, err := c.Propose(ctx, binary.BigEndian.AppendUint64(nil, n))
					require.NoError(t, err)
					require.EqualValues(t, 1, count)
					bubble.Sleep(500 * time.Millisecond) // virtual, so that there is time for faults
				}
			})
		}
	}
	done := make(chan struct{})
	go func() { working.Wait(); close(done) }()
	random := rand.New(rand.NewPCG(seed, 2))
	for running := true; running; {
		p := places[random.IntN(3)]
		if random.IntN(2) == 0 {
			p.crash(t)
			bubble.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
			p.start(t, network, members)
		} else {
			network.Isolate(p.id)
			bubble.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
			network.Rejoin(p.id)
		}
		select {
		case <-done:
			running = false
		case <-time.After(time.Duration(random.IntN(500)) * time.Millisecond):
		}
	}
	require.Greater(t, unknown.n, 100, "so few unknown outcomes prove little")
	for _, p := range places {
		for p.node.ReadBarrier(ctx) != nil {
		}
		counts := p.tally.all()
		require.Len(t, counts, clients*workers*commands)
		for n, count := range counts {
			require.EqualValues(t, 1, count, "command %x", n)
		}
	}
}

// stub is a way to a place from elsewhere, on which one answer in four is lost.
type stub struct {
	*place
	unknown *unknownOutcomes
}

// unknownOutcomes counts them.
type unknownOutcomes struct {
	mu     sync.Mutex
	random *rand.Rand
	n      int
}

func (s *stub) Propose(ctx context.Context, command []byte) (session.Result[uint64], error) {
	result, err := s.place.Propose(ctx, command)
	s.unknown.mu.Lock()
	defer s.unknown.mu.Unlock()
	if s.unknown.random.IntN(4) == 0 {
		err = raft.ErrOutcomeUnknown
	}
	if errors.Is(err, raft.ErrOutcomeUnknown) {
		s.unknown.n++
	}
	return result, err
}
