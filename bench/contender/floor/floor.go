// Package floor is what the machine allows for one client, in the shape of a
// contender: a write of a block that has been written before and fdatasync, in
// parallel with a round trip on loopback and the same on the other side. It is
// no Raft: it keeps nothing that could be read again, and asks one follower
// only.
package floor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/seed-6281cb22/raft/bench/contender"
)

const (
	// blockBytes is the least that storage/wal writes: a frame on blocks of its
	// own.
	blockBytes = 4096
	blocks     = 4096
	// headerBytes stands for what a message has beside the data of an entry.
	headerBytes = 64

	leader   = 1
	follower = 2
)

// Start begins a node. Node 1 leads, node 2 follows, the others do nothing.
func Start(c contender.Config) (contender.Node, error) {
	if c.Node > follower {
		return &node{}, nil
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	file, err := openWritten(filepath.Join(c.Dir, "blocks"))
	if err != nil {
		return nil, err
	}
	n := &node{file: file, machine: c.Machine}
	if c.Node == leader {
		n.leads, n.follower = true, c.Addrs[follower-1]
		return n, nil
	}
	if n.listener, err = net.Listen("tcp", c.Addrs[follower-1]); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	n.serving.Go(n.accept)
	return n, nil
}

// openWritten makes a file of blocks that need no more than an overwrite.
func openWritten(name string) (*os.File, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(make([]byte, blocks*blockBytes)); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

type node struct {
	file    *os.File
	block   [blockBytes]byte
	written int64

	leads    bool
	follower string
	machine  *contender.Machine
	mu       sync.Mutex // one operation at a time
	conn     net.Conn   // to the follower, nil until the first operation
	message  []byte

	listener net.Listener // the follower's
	serving  sync.WaitGroup
}

func (n *node) Leader() int { return leader }

func (n *node) Term() uint64 { return 1 }

func (n *node) Propose(ctx context.Context, data []byte) error {
	if err := n.operate(ctx, data, n.write); err != nil {
		return err
	}
	n.machine.Apply(data)
	return nil
}

func (n *node) Read(ctx context.Context) error {
	return n.operate(ctx, nil, func() error { return nil })
}

// operate does something while the follower does what data asks of it: a write,
// if there is any.
func (n *node) operate(ctx context.Context, data []byte, meanwhile func() error) error {
	if !n.leads {
		return contender.ErrNotLeader
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", n.follower)
		if err != nil {
			return err
		}
		n.conn = conn
	}
	n.message = append(append(n.message[:0], make([]byte, headerBytes)...), data...)
	n.message[0], n.message[1] = byte(len(data)), byte(len(data)>>8)
	if _, err := n.conn.Write(n.message); err != nil {
		return err
	}
	if err := meanwhile(); err != nil {
		return err
	}
	_, err := io.ReadFull(n.conn, n.message[:headerBytes])
	return err
}

// write writes the next block and syncs it.
func (n *node) write() error {
	n.block[0]++
	if _, err := n.file.WriteAt(n.block[:], n.written%blocks*blockBytes); err != nil {
		return err
	}
	n.written++
	if err := syscall.Fdatasync(int(n.file.Fd())); err != nil {
		return fmt.Errorf("fdatasync: %w", err)
	}
	return nil
}

// accept serves one leader after the other.
func (n *node) accept() {
	for {
		conn, err := n.listener.Accept()
		if err != nil {
			return // closed
		}
		n.mu.Lock()
		n.conn = conn
		n.mu.Unlock()
		n.serve(conn)
	}
}

func (n *node) serve(conn net.Conn) {
	defer conn.Close()
	message := make([]byte, headerBytes+1<<16)
	for {
		if _, err := io.ReadFull(conn, message[:headerBytes]); err != nil {
			return
		}
		if bytes := int(message[0]) | int(message[1])<<8; bytes > 0 {
			if _, err := io.ReadFull(conn, message[headerBytes:headerBytes+bytes]); err != nil {
				return
			}
			if n.write() != nil {
				return
			}
		}
		if _, err := conn.Write(message[:headerBytes]); err != nil {
			return
		}
	}
}

// Snapshot has nothing to do.
func (n *node) Snapshot() error { return nil }

func (n *node) Close() error {
	var errs []error
	if n.listener != nil {
		errs = append(errs, n.listener.Close())
	}
	n.mu.Lock()
	if n.conn != nil {
		n.conn.Close() // the other side may have been first
	}
	n.mu.Unlock()
	n.serving.Wait()
	if n.file != nil {
		errs = append(errs, n.file.Close())
	}
	return errors.Join(errs...)
}
