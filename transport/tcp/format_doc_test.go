package tcp_test

// A program that speaks the protocol, written from docs/wire-format.md alone.
// It uses nothing of the transport, and of the library only the messages of
// raft.proto.

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/seed-6281cb22/raft"
)

// The numbers of the document.
const (
	docHelloKind    = 1
	docWelcomeKind  = 2
	docMessageKind  = 3
	docPingKind     = 4
	docAliveKind    = 5
	docOffsetKind   = 6
	docChunkKind    = 7
	docEndKind      = 8
	docAbortKind    = 9
	docResultKind   = 10
	docTransferKind = 11

	docHelloMagic   = "RAFT\x00hi\n"
	docWelcomeMagic = "RAFT\x00ok\n"
)

func docCRC(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// docFrame is a frame.
type docFrame struct {
	kind    byte
	payload []byte
}

func (f docFrame) encode() []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(f.payload)))
	b = append(b, f.kind, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(docCRC(b)))
	whole := append(append([]byte(nil), b...), f.payload...)
	b = binary.LittleEndian.AppendUint32(b, docCRC(whole))
	return append(b, f.payload...)
}

// docParse returns the frame that b begins with and its length, 0 if it is not
// all there, or what is wrong with it.
func docParse(b []byte, limit int) (f docFrame, n int, wrong string) {
	if len(b) < 12 {
		return f, 0, ""
	}
	length := binary.LittleEndian.Uint32(b)
	switch {
	case uint16(docCRC(b[:6])) != binary.LittleEndian.Uint16(b[6:]):
		return f, 0, "the header"
	case uint64(length) > uint64(limit):
		return f, 0, "the length"
	case b[5] != 0:
		return f, 0, "the flags"
	case len(b)-12 < int(length):
		return f, 0, ""
	}
	f = docFrame{b[4], b[12 : 12+length]}
	whole := append(append([]byte(nil), b[:8]...), f.payload...)
	if docCRC(whole) != binary.LittleEndian.Uint32(b[8:]) {
		return f, 0, "the CRC"
	}
	return f, 12 + int(length), ""
}

// docRead reads one frame.
func docRead(r io.Reader, limit int) (docFrame, error) {
	b := make([]byte, 12)
	if _, err := io.ReadFull(r, b); err != nil {
		return docFrame{}, err
	}
	f, n, wrong := docParse(b, limit)
	if wrong == "" && n == 0 {
		b = append(b, make([]byte, binary.LittleEndian.Uint32(b))...)
		if _, err := io.ReadFull(r, b[12:]); err != nil {
			return docFrame{}, err
		}
		f, _, wrong = docParse(b, limit)
	}
	if wrong != "" {
		return docFrame{}, fmt.Errorf("wrong: %s", wrong)
	}
	return f, nil
}

type docHello struct {
	Lowest, Highest    uint16
	Purpose            byte
	Features, Required uint64
	From, To           uint64
	Cluster, Address   string
}

func (h docHello) frame() docFrame {
	b := []byte(docHelloMagic)
	b = binary.LittleEndian.AppendUint16(b, h.Lowest)
	b = binary.LittleEndian.AppendUint16(b, h.Highest)
	b = append(b, h.Purpose)
	for _, v := range []uint64{h.Features, h.Required, h.From, h.To} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return docFrame{docHelloKind, docString(docString(b, h.Cluster), h.Address)}
}

type docWelcome struct {
	Status                   byte
	Version, Lowest, Highest uint16
	Features, Required, Node uint64
	Cluster                  string
}

func (w docWelcome) frame() docFrame {
	b := append([]byte(docWelcomeMagic), w.Status)
	for _, v := range []uint16{w.Version, w.Lowest, w.Highest} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	for _, v := range []uint64{w.Features, w.Required, w.Node} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return docFrame{docWelcomeKind, docString(b, w.Cluster)}
}

type docResult struct {
	Code byte
	Why  string
}

func docString(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func docNumber(kind byte, v uint64) docFrame {
	return docFrame{kind, binary.LittleEndian.AppendUint64(nil, v)}
}

func docMessage(m raft.Message) docFrame { return docFrame{docMessageKind, m.Append(nil)} }

// decode returns what a frame says.
func (f docFrame) decode() (value any, err error) {
	defer func() {
		if recover() != nil { // out of range
			value, err = nil, fmt.Errorf("a payload of kind %d is too short", f.kind)
		}
	}()
	switch p := f.payload; f.kind {
	case docHelloKind:
		return decodeDocHello(p)
	case docWelcomeKind:
		return decodeDocWelcome(p)
	case docMessageKind:
		var m raft.Message
		err := m.Unmarshal(p)
		return m, err
	case docPingKind, docEndKind:
		return nil, nil
	case docAliveKind, docOffsetKind, docTransferKind:
		if len(p) != 8 {
			return nil, fmt.Errorf("a number of %d bytes", len(p))
		}
		return binary.LittleEndian.Uint64(p), nil
	case docChunkKind:
		return p, nil
	case docAbortKind:
		return string(p), nil
	case docResultKind:
		return docResult{p[0], string(p[1:])}, nil
	}
	return nil, fmt.Errorf("kind %d", f.kind)
}

func decodeDocHello(p []byte) (any, error) {
	h := docHello{
		Lowest: binary.LittleEndian.Uint16(p[8:]), Highest: binary.LittleEndian.Uint16(p[10:]), Purpose: p[12],
		Features: binary.LittleEndian.Uint64(p[13:]), Required: binary.LittleEndian.Uint64(p[21:]),
		From: binary.LittleEndian.Uint64(p[29:]), To: binary.LittleEndian.Uint64(p[37:]),
	}
	cluster := 45
	address := cluster + 1 + int(p[cluster])
	h.Cluster = string(p[cluster+1 : address])
	h.Address = string(p[address+1 : address+1+int(p[address])])
	if string(p[:8]) != docHelloMagic || len(h.Cluster) > 64 {
		return nil, fmt.Errorf("no hello")
	}
	return h, nil
}

func decodeDocWelcome(p []byte) (any, error) {
	w := docWelcome{
		Status:  p[8],
		Version: binary.LittleEndian.Uint16(p[9:]), Lowest: binary.LittleEndian.Uint16(p[11:]), Highest: binary.LittleEndian.Uint16(p[13:]),
		Features: binary.LittleEndian.Uint64(p[15:]), Required: binary.LittleEndian.Uint64(p[23:]),
		Node:    binary.LittleEndian.Uint64(p[31:]),
		Cluster: string(p[40 : 40+int(p[39])]),
	}
	if string(p[:8]) != docWelcomeMagic || len(w.Cluster) > 64 {
		return nil, fmt.Errorf("no welcome")
	}
	return w, nil
}
