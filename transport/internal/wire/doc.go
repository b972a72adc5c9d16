// Package wire is what nodes say to each other on a connection, without the
// connection: framing, handshake, batches of messages and the conversation of
// a snapshot transfer, as pure functions on bytes. Package transport/tcp puts
// it on sockets; transport/inmem sends the same bytes through its simulated
// network, so that what is simulated is what ships.
//
// # Format, protocol version 1
//
// In short; docs/wire-format.md is the protocol as another program needs it, with
// all numbers and limits.
//
// All numbers are little-endian. Everything on a connection is a frame:
//
//	length  uint32  bytes of payload
//	kind    uint8   see Kind
//	flags   uint8   0; other values are reserved and refused
//	check   uint16  low half of the CRC32C of the six bytes before it
//	crc     uint32  CRC32C of the eight bytes before it and of the payload
//	payload
//
// The check over the head alone tells a damaged length at once, instead of
// waiting for bytes that never come.
//
// The one who dials sends a Hello, the one who listens answers with a Welcome
// that accepts or refuses and says why. Both are frames of at most
// MaxHandshakeBytes, in this format in all versions of the protocol; later ones
// only append to them. Each states the versions that its side speaks, of which
// the highest common one is used, and two sets of features: those that its side
// knows, of which the common ones are used, and those that it requires.
//
// With TLS nobody on the way can change that, to make two nodes use an older
// version. Without, nothing prevents it, as nothing prevents anything else
// there.
//
// The dialer says nothing more before the Welcome. What follows depends on the
// purpose that the Hello states:
//
// Messages. The dialer sends KindMessage frames, each one encoded
// raftpb.Message, and a KindPing every PingInterval. The listener sends nothing
// but KindAlive frames: one when bytes have arrived and the last one was sent
// at least AliveInterval ago. So both sides hear of each other all the time,
// and a connection on which one has heard nothing for a few seconds is dead,
// whatever TCP believes. Replies to messages go over a connection that the
// other side dials.
//
// Urgent messages. The same, for those that must not wait behind entries:
// votes, heartbeats, acknowledgements, and what else has no entries and no
// snapshot. A dialer has a connection for each of the two purposes. Their
// messages have at most MaxUrgentBytes.
//
// Snapshot. The dialer sends a KindTransfer with a random number and one
// KindMessage frame, an InstallSnapshot. The listener refuses with a KindResult,
// or states in a KindOffset from which offset on it wants the data. The dialer
// sends KindChunk frames and then a KindEnd, or a KindAbort with a reason, and a
// KindPing every PingInterval meanwhile. The listener answers with a KindResult.
// Until then it sends a KindAlive every PingInterval, with the number of bytes
// of the data that have arrived. A dialer whose connection breaks makes another
// and says the same number and message again; what the listener states then is
// where the data goes on, or the result if there is one.
package wire
