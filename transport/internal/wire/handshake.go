package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-6281cb22/raft"
)

// Versions of the protocol that this code speaks. A connection uses the
// highest one that both sides speak.
const (
	MinVersion = 1
	MaxVersion = 1
)

// Bounds on the strings of a handshake, in bytes.
const (
	MaxClusterBytes = 64
	MaxAddressBytes = 255
)

// The magic numbers that a Hello and a Welcome start with.
const (
	helloMagic   = "RAFT\x00hi\n"
	welcomeMagic = "RAFT\x00ok\n"
)

// Purpose says what a connection is for.
type Purpose uint8

// The purposes.
const (
	ForMessages Purpose = 1
	ForSnapshot Purpose = 2
	ForUrgent   Purpose = 3 // messages that must not wait behind those with entries
)

// Status is the answer to a Hello: accepted, or why not.
type Status uint8

// The statuses. A receiver takes one that it does not know for a refusal.
const (
	Accepted     Status = 0
	WrongVersion Status = 1 // no version of the protocol in common
	WrongCluster Status = 2 // the two belong to different clusters
	WrongNode    Status = 3 // the dialer expected another node at this address
	SameNode     Status = 4 // the dialer claims the listener's own id, or 0
	WrongPurpose Status = 5 // unknown purpose
	NotAllowed   Status = 6 // the identity is not the one that was authenticated
	Busy         Status = 7 // too many connections: try again later
	NoFeature    Status = 8 // one side requires a feature that the other lacks
)

var statusText = [...]string{
	Accepted:     "accepted",
	WrongVersion: "no common protocol version",
	WrongCluster: "different cluster",
	WrongNode:    "different node",
	SameNode:     "the same node id on both sides",
	WrongPurpose: "unknown purpose of the connection",
	NotAllowed:   "identity not authenticated",
	Busy:         "too many connections",
	NoFeature:    "a required feature is missing",
}

func (s Status) String() string {
	if int(s) < len(statusText) {
		return statusText[s]
	}
	return fmt.Sprintf("refused with status %d", uint8(s))
}

// Versions is a range of protocol versions, both ends included.
type Versions struct {
	Min, Max uint16
}

// Supported is the range that this code speaks.
func Supported() Versions { return Versions{MinVersion, MaxVersion} }

// Common returns the highest version in both ranges, 0 if there is none.
func (v Versions) Common(o Versions) uint16 {
	highest := min(v.Max, o.Max)
	if highest < max(v.Min, o.Min) {
		return 0
	}
	return highest
}

// Features is a set of features of the protocol, a bit each. Unlike a version,
// a feature can be present without those before it. None exists yet: the bits
// are given out from the lowest one on.
type Features uint64

// Side is what one end of a connection is, and what it speaks.
type Side struct {
	Identity raft.Identity
	Versions Versions
	// Features are those that it knows. A connection uses those that both
	// sides know; what else one side offers, the other ignores.
	Features Features
	// Required are those of Features without which it does not talk.
	Required Features
}

// Ours is the Side of a node that runs this code.
func Ours(self raft.Identity) Side { return Side{Identity: self, Versions: Supported()} }

// Hello is what the dialer says first.
type Hello struct {
	Versions Versions
	Purpose  Purpose
	Features Features // see Side
	Required Features
	From     raft.Identity
	To       raft.NodeID // whom it expects
	Address  string      // where From listens; an empty host stands for the one the connection comes from
}

// Welcome is the listener's answer.
type Welcome struct {
	Status   Status
	Version  uint16 // of what follows, 0 when refused for the version
	Versions Versions
	Features Features // see Side
	Required Features
	From     raft.Identity
}

// Missing returns the features that one of the two requires and the other lacks.
func Missing(h Hello, w Welcome) Features {
	return h.Required&^w.Features | w.Required&^h.Features
}

// HandshakeFormatError says that bytes are not a Hello or a Welcome.
type HandshakeFormatError struct {
	Reason string
}

func (e *HandshakeFormatError) Error() string { return "malformed handshake: " + e.Reason }

// AppendHello appends h in a frame. Its strings must be within the bounds.
func AppendHello(b []byte, h Hello) []byte {
	start := len(b)
	b = append(Begin(b), helloMagic...)
	b = appendVersions(b, h.Versions)
	b = append(b, byte(h.Purpose))
	b = appendFeatures(b, h.Features, h.Required)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.From.Node))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.To))
	b = appendString(b, h.From.Cluster)
	b = appendString(b, h.Address)
	Finish(b, start, KindHello)
	return b
}

// ParseHello returns the Hello in f. Bytes after those it knows are ignored:
// later versions append to them.
func ParseHello(f Frame) (Hello, error) {
	p := parser{rest: f.Payload}
	p.expect(f.Kind == KindHello, "not a hello")
	p.magic(helloMagic)
	h := Hello{
		Versions: p.versions(),
		Purpose:  Purpose(p.uint8()),
		Features: Features(p.uint64()),
		Required: Features(p.uint64()),
		From:     raft.Identity{Node: raft.NodeID(p.uint64())},
		To:       raft.NodeID(p.uint64()),
	}
	h.From.Cluster = p.string(MaxClusterBytes)
	h.Address = p.string(MaxAddressBytes)
	if p.err != nil {
		return Hello{}, p.err
	}
	return h, nil
}

// AppendWelcome appends w in a frame. Its strings must be within the bounds.
func AppendWelcome(b []byte, w Welcome) []byte {
	start := len(b)
	b = append(Begin(b), welcomeMagic...)
	b = append(b, byte(w.Status))
	b = binary.LittleEndian.AppendUint16(b, w.Version)
	b = appendVersions(b, w.Versions)
	b = appendFeatures(b, w.Features, w.Required)
	b = binary.LittleEndian.AppendUint64(b, uint64(w.From.Node))
	b = appendString(b, w.From.Cluster)
	Finish(b, start, KindWelcome)
	return b
}

// ParseWelcome returns the Welcome in f, ignoring bytes after those it knows.
func ParseWelcome(f Frame) (Welcome, error) {
	p := parser{rest: f.Payload}
	p.expect(f.Kind == KindWelcome, "not a welcome")
	p.magic(welcomeMagic)
	w := Welcome{
		Status:   Status(p.uint8()),
		Version:  p.uint16(),
		Versions: p.versions(),
		Features: Features(p.uint64()),
		Required: Features(p.uint64()),
		From:     raft.Identity{Node: raft.NodeID(p.uint64())},
	}
	w.From.Cluster = p.string(MaxClusterBytes)
	if p.err != nil {
		return Welcome{}, p.err
	}
	return w, nil
}

// Answer is how the listener self answers h. What differs is told in the order
// in which a person would mend it: the version first, since without a common
// one the rest may mean something else.
func Answer(self Side, h Hello) Welcome {
	w := Welcome{
		Versions: self.Versions,
		Version:  self.Versions.Common(h.Versions),
		Features: self.Features,
		Required: self.Required,
		From:     self.Identity,
	}
	switch {
	case w.Version == 0:
		w.Status = WrongVersion
	case Missing(h, w) != 0:
		w.Status = NoFeature
	case h.From.Cluster != self.Identity.Cluster:
		w.Status = WrongCluster
	case h.To != self.Identity.Node:
		w.Status = WrongNode
	case h.From.Node == self.Identity.Node || h.From.Node == 0:
		w.Status = SameNode
	case h.Purpose < ForMessages || h.Purpose > ForUrgent:
		w.Status = WrongPurpose
	}
	return w
}

// CheckWelcome is how the dialer of h takes the answer w: it trusts nobody to
// have compared what it can compare itself.
func CheckWelcome(h Hello, w Welcome) Status {
	switch {
	case w.Status != Accepted:
		return w.Status
	case w.Version < h.Versions.Min || w.Version > h.Versions.Max:
		return WrongVersion
	case Missing(h, w) != 0:
		return NoFeature
	case w.From.Cluster != h.From.Cluster:
		return WrongCluster
	case w.From.Node != h.To:
		return WrongNode
	}
	return Accepted
}

func appendFeatures(b []byte, known, required Features) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(known))
	return binary.LittleEndian.AppendUint64(b, uint64(required))
}

func appendVersions(b []byte, v Versions) []byte {
	b = binary.LittleEndian.AppendUint16(b, v.Min)
	return binary.LittleEndian.AppendUint16(b, v.Max)
}

// appendString appends s after its length in one byte.
func appendString(b []byte, s string) []byte {
	return append(append(b, byte(len(s))), s...)
}

// parser takes fields off the front of rest. After the first error it yields
// zeros.
type parser struct {
	rest []byte
	err  error
}

func (p *parser) expect(ok bool, reason string) {
	if !ok && p.err == nil {
		p.err = &HandshakeFormatError{reason}
	}
}

// take returns the next n bytes, or zeros.
func (p *parser) take(n int) []byte {
	p.expect(len(p.rest) >= n, "too short")
	if p.err != nil {
		return make([]byte, n)
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) magic(magic string) {
	b := p.take(len(magic))
	p.expect(string(b) == magic, "wrong magic number")
}

func (p *parser) uint8() uint8   { return p.take(1)[0] }
func (p *parser) uint16() uint16 { return binary.LittleEndian.Uint16(p.take(2)) }
func (p *parser) uint64() uint64 { return binary.LittleEndian.Uint64(p.take(8)) }

func (p *parser) versions() Versions { return Versions{p.uint16(), p.uint16()} }

func (p *parser) string(limit int) string {
	n := int(p.uint8())
	p.expect(n <= limit, "string too long")
	if p.err != nil {
		return ""
	}
	return string(p.take(n))
}
