package etcdraft

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"os"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// sendSnapshot sends a message and the file that it is about over a connection
// of its own, and tells Raft what came of it.
func (n *network) sendSnapshot(p *peer, m *raftpb.Message) {
	status := raft.SnapshotFailure
	if n.streamSnapshot(p, m) == nil {
		status = raft.SnapshotFinish
	}
	n.call(func(l *loop) { l.raw.ReportSnapshot(p.id, status) })
}

func (n *network) streamSnapshot(p *peer, m *raftpb.Message) error {
	f, err := os.Open(n.disk.snapshotName(m.GetSnapshot().GetMetadata().GetIndex()))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	conn, err := n.dial(p, kindSnapshot)
	if err != nil {
		return err
	}
	defer n.drop(conn)
	if _, err := writeMessages(conn, []*raftpb.Message{m}, nil); err != nil {
		return err
	}
	conn.SetWriteDeadline(time.Time{})
	if _, err := conn.Write(binary.LittleEndian.AppendUint64(nil, uint64(info.Size()))); err != nil {
		return err
	}
	if _, err := io.Copy(conn, f); err != nil { // by sendfile
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1)) // the other end has it
	return err
}

// receiveSnapshot keeps the file, and then hands over the message, at which the
// file must be there.
func (n *network) receiveSnapshot(conn net.Conn, r *bufio.Reader) {
	n.receiving.Lock()
	defer n.receiving.Unlock()
	var body []byte
	m, err := readMessage(r, &body)
	if err != nil {
		return
	}
	var length [8]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return
	}
	size := int64(binary.LittleEndian.Uint64(length[:]))
	name := n.disk.snapshotName(m.GetSnapshot().GetMetadata().GetIndex())
	err = writeFile(name, func(w io.Writer) error {
		_, err := io.CopyN(w, r, size)
		return err
	})
	if err != nil {
		return
	}
	n.inbox.put(func(w *work) { w.messages = append(w.messages, m) })
	conn.Write([]byte{kindSnapshot})
}
