package session

import "encoding/binary"

// kind is the first byte of every command. A kind that a replica does not know
// is malformed to it: new ones may be proposed only once all replicas know them.
type kind uint8

const (
	kindPlain     kind = 1 // payload
	kindOpen      kind = 2 // nonce, limits
	kindCommand   kind = 3 // id, age, acknowledged, sequence − acknowledged, payload
	kindKeepAlive kind = 4 // id, age, acknowledged
	kindClose     kind = 5 // id, age, acknowledged
)

// command is what this package's commands say.
type command struct {
	kind   kind
	id     ID     // of an open: its nonce only
	limits Limits // of an open
	// age is how long the session has been open, in milliseconds of its
	// client's clock.
	age uint64
	// acknowledged says that no outcome of a command whose sequence number
	// is lower will be asked for any more. It is 1 at first.
	acknowledged uint64
	sequence     uint64 // at least acknowledged
	payload      []byte // of the service
}

// Plain returns a command for a Machine that belongs to no session: its
// payload is applied as often as it is committed.
func Plain(payload []byte) []byte {
	return (&command{kind: kindPlain, payload: payload}).encode()
}

func (c *command) encode() []byte {
	const most = 1 + 5*binary.MaxVarintLen64 + 8
	b := append(make([]byte, 0, most+len(c.payload)), byte(c.kind))
	switch c.kind {
	case kindOpen:
		b = binary.LittleEndian.AppendUint64(b, c.id.Nonce)
		b = appendLimits(b, c.limits)
	case kindCommand, kindKeepAlive, kindClose:
		b = appendID(b, c.id)
		b = binary.AppendUvarint(b, c.age)
		b = binary.AppendUvarint(b, c.acknowledged)
	}
	if c.kind == kindCommand {
		b = binary.AppendUvarint(b, c.sequence-c.acknowledged)
	}
	return append(b, c.payload...)
}

// decodeCommand returns what b says, and false if it is malformed. The payload
// aliases b.
func decodeCommand(b []byte) (command, bool) {
	if len(b) == 0 {
		return command{}, false
	}
	c := command{kind: kind(b[0])}
	d := decoder{b: b[1:]}
	switch c.kind {
	case kindOpen:
		c.id.Nonce = d.nonce()
		c.limits = d.limits()
		d.bad = d.bad || c.limits.validate() != nil
	case kindCommand, kindKeepAlive, kindClose:
		c.id = d.id()
		c.age = d.number(maxNumber)
		c.acknowledged = d.number(maxNumber)
		d.bad = d.bad || c.acknowledged == 0
	case kindPlain:
	default:
		return c, false
	}
	if c.kind == kindCommand {
		c.sequence = c.acknowledged + d.number(maxNumber)
	}
	if c.kind == kindPlain || c.kind == kindCommand {
		c.payload, d.b = d.b, nil
	}
	return c, !d.bad && len(d.b) == 0
}
