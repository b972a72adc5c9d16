package tcp_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/seed-6281cb22/raft/transport/tcp"
)

// docPatience is how long these tests wait for what must come.
const docPatience = 20 * time.Second

// docHandler hands on what the library delivers.
type docHandler struct {
	messages  chan raft.Message
	snapshots chan []byte
}

func (h docHandler) Deliver(messages []raft.Message) {
	for _, m := range messages {
		m.Entries = append([]raft.Entry(nil), m.Entries...)
		h.messages <- m
	}
}

func (h docHandler) DeliverSnapshot(_ raft.Message, body io.Reader) error {
	data, err := io.ReadAll(body)
	if err == nil {
		h.snapshots <- data
	}
	return err
}

func (h docHandler) Unreachable(raft.NodeID) {}

// library starts node 2 of the library.
func library(t *testing.T) (*tcp.Transport, docHandler) {
	transport, err := tcp.Listen("127.0.0.1:0", tcp.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { transport.Close() })
	h := docHandler{make(chan raft.Message, 100), make(chan []byte, 10)}
	require.NoError(t, transport.Start(raft.Identity{Cluster: "orders", Node: 2}, h))
	return transport, h
}

func docReceive[T any](t *testing.T, c <-chan T) T {
	select {
	case v := <-c:
		return v
	case <-time.After(docPatience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// docPeer is node 1, which speaks as the document says.
type docPeer struct {
	t    *testing.T
	conn net.Conn
}

func (p docPeer) say(frames ...docFrame) {
	for _, f := range frames {
		_, err := p.conn.Write(f.encode())
		require.NoError(p.t, err)
	}
}

// hear reads frames up to one that is of no kind to be skipped.
func (p docPeer) hear(skip ...byte) docFrame {
	for {
		f, err := docRead(p.conn, 64<<20)
		require.NoError(p.t, err)
		if !bytes.Contains(skip, []byte{f.kind}) {
			return f
		}
	}
}

func (p docPeer) hearNumber(kind byte, skip ...byte) uint64 {
	f := p.hear(skip...)
	require.Equal(p.t, kind, f.kind)
	v, err := f.decode()
	require.NoError(p.t, err)
	return v.(uint64)
}

func goodDocHello(purpose byte) docHello {
	return docHello{Lowest: 1, Highest: 1, Purpose: purpose, From: 1, To: 2, Cluster: "orders", Address: "127.0.0.1:1"}
}

// docDial connects and is welcome, or not.
func docDial(t *testing.T, to *tcp.Transport, h docHello, status byte) docPeer {
	conn, err := net.Dial("tcp", to.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(docPatience)))
	p := docPeer{t, conn}
	p.say(h.frame())
	welcome, err := p.hear().decode()
	require.NoError(t, err)
	want := docWelcome{Status: status, Version: 1, Lowest: 1, Highest: 1, Node: 2, Cluster: "orders"}
	if status == 1 {
		want.Version = 0
	}
	require.Equal(t, want, welcome)
	return p
}

func TestTheDocumentsProgramIsAnswered(t *testing.T) {
	transport, _ := library(t)
	for status, change := range map[byte]func(*docHello){
		1: func(h *docHello) { h.Lowest, h.Highest = 2, 3 },
		8: func(h *docHello) { h.Features, h.Required, h.Cluster = 1<<63, 1<<63, "other" },
		2: func(h *docHello) { h.Cluster, h.To = "other", 9 },
		3: func(h *docHello) { h.To, h.From = 9, 2 },
		4: func(h *docHello) { h.From, h.Purpose = 2, 9 },
		5: func(h *docHello) { h.Purpose = 9 },
		0: func(h *docHello) { h.Highest, h.Features = 7, 1<<63 },
	} {
		h := goodDocHello(1)
		change(&h)
		p := docDial(t, transport, h, status)
		if status != 0 {
			_, err := p.conn.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err, "closed")
		}
	}
}

func TestTheDocumentsProgramSendsMessages(t *testing.T) {
	transport, h := library(t)
	for _, purpose := range []byte{1, 3} {
		p := docDial(t, transport, goodDocHello(purpose), 0)
		sent := raft.Message{Type: raftpb.PreVote, From: 1, To: 2, Term: 8, Index: 42, LogTerm: 7}
		p.say(docMessage(sent), docFrame{docPingKind, nil})
		require.Equal(t, sent, docReceive(t, h.messages))
		p.hearNumber(docAliveKind)
		p.say(docMessage(raft.Message{Type: raftpb.PreVote, From: 3, To: 2}))
		_, err := io.Copy(io.Discard, p.conn)
		if err != nil { // closed, with or without what it had not read
			require.ErrorContains(t, err, "reset")
		}
	}
}

func TestTheDocumentsProgramSendsASnapshot(t *testing.T) {
	transport, h := library(t)
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	m := raft.Message{Type: raftpb.InstallSnapshot, From: 1, To: 2, Term: 7, Snapshot: &raft.Snapshot{Index: 9, Term: 6, Size: uint64(len(data))}}
	const number, half = 0x1234567890abcdef, 50_000

	p := docDial(t, transport, goodDocHello(2), 0)
	p.say(docNumber(docTransferKind, number), docMessage(m))
	require.EqualValues(t, 0, p.hearNumber(docOffsetKind, docAliveKind))
	p.say(docFrame{docChunkKind, data[:half]}, docFrame{docPingKind, nil})
	for p.hearNumber(docAliveKind) < half {
	}
	p.conn.Close()

	for range 2 { // once to go on, and once more to hear the result again
		p = docDial(t, transport, goodDocHello(2), 0)
		p.say(docNumber(docTransferKind, number), docMessage(m))
		f := p.hear(docAliveKind)
		if f.kind == docOffsetKind {
			require.Equal(t, docNumber(docOffsetKind, half), f)
			p.say(docFrame{docChunkKind, data[half:]}, docFrame{docEndKind, nil})
			f = p.hear(docAliveKind)
		}
		require.Equal(t, docFrame{docResultKind, []byte{0}}, f)
		p.conn.Close()
	}
	require.True(t, bytes.Equal(data, docReceive(t, h.snapshots)))
	require.Empty(t, h.snapshots)
}

// docListen accepts one connection from node 2, for a purpose; others it closes.
func docListen(t *testing.T, listener net.Listener, purpose byte) docPeer {
	for {
		conn, err := listener.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(docPatience)))
		p := docPeer{t, conn}
		hello, err := p.hear().decode()
		require.NoError(t, err)
		h := hello.(docHello)
		require.NotEmpty(t, h.Address)
		if h.Purpose != purpose {
			conn.Close()
			continue
		}
		h.Address = ""
		require.Equal(t, docHello{Lowest: 1, Highest: 1, Purpose: purpose, From: 2, To: 1, Cluster: "orders"}, h)
		p.say(docWelcome{Version: 1, Lowest: 1, Highest: 1, Node: 1, Cluster: "orders"}.frame())
		return p
	}
}

func TestTheDocumentsProgramReceives(t *testing.T) {
	transport, _ := library(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	transport.SetPeer(1, listener.Addr().String())

	p := docListen(t, listener, 1)
	sent := raft.Message{Type: raftpb.AppendEntries, From: 2, To: 1, Term: 7, Entries: []raft.Entry{{Term: 7, Index: 1, Data: []byte("x")}}}
	transport.Send([]raft.Message{sent})
	got, err := p.hear(docPingKind).decode()
	require.NoError(t, err)
	require.Equal(t, sent, got)
	p.say(docNumber(docAliveKind, 100))
	require.Equal(t, docFrame{docPingKind, []byte{}}, p.hear())
	p.conn.Close()

	data := bytes.Repeat([]byte("0123456789"), 100_000)
	m := raft.Message{Type: raftpb.InstallSnapshot, From: 2, To: 1, Term: 7, Snapshot: &raft.Snapshot{Index: 9, Term: 6, Size: uint64(len(data))}}
	result := make(chan error, 1)
	send := func() {
		go func() { result <- transport.SendSnapshot(t.Context(), m, bytes.NewReader(data)) }()
	}
	send()
	var taken []byte
	var numbers []uint64
	for attempt := range 2 { // the first one is cut after a chunk
		p = docListen(t, listener, 2)
		numbers = append(numbers, p.hearNumber(docTransferKind))
		got, err := p.hear().decode()
		require.NoError(t, err)
		require.Equal(t, m, got)
		p.say(docNumber(docOffsetKind, uint64(len(taken))))
		for f := p.hear(docPingKind); f.kind != docEndKind; f = p.hear(docPingKind) {
			require.EqualValues(t, docChunkKind, f.kind)
			require.LessOrEqual(t, len(f.payload), 256<<10)
			taken = append(taken, f.payload...)
			if attempt == 0 {
				break
			}
		}
		if attempt == 1 {
			p.say(docFrame{docResultKind, []byte{0}})
		}
		p.conn.Close()
	}
	require.NoError(t, docReceive(t, result))
	require.True(t, bytes.Equal(data, taken))
	require.Equal(t, numbers[0], numbers[1])

	send()
	p = docListen(t, listener, 2)
	p.hearNumber(docTransferKind)
	p.hear()
	p.say(docFrame{docResultKind, []byte("\x02later")})
	err = docReceive(t, result)
	var refused *tcp.SnapshotError
	require.True(t, errors.As(err, &refused))
	require.Equal(t, &tcp.SnapshotError{Peer: 1, Busy: true, Reason: "later"}, refused)
}
