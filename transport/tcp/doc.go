// Package tcp is the Transport of a cluster: TCP connections, with or without
// TLS, one transport for all replication groups of a process.
//
//	transport, err := tcp.Listen("10.0.0.1:7000", tcp.Options{TLSFiles: files})
//	…
//	defer transport.Close() // after the nodes that use it
//
// Each node dials each of its peers, as soon as it knows an address, and sends
// its messages on those connections; what comes back on one is only a sign of
// life. So neither side has to guess whether the other's is still good.
//
// There are two connections in each direction, one for messages with entries
// and one for votes, heartbeats, acknowledgements and what else is small and
// urgent. Each has a queue of its own, and the receiver's Handler is called for
// each by a goroutine of its own: so nothing urgent waits for megabytes of
// entries in a queue, in the kernel, on the receiver's side of the connection,
// or in a call of Deliver. A snapshot goes over a connection of its own. Package
// wire, internal, has the format.
//
// # Who may connect
//
// The two ends of a connection compare protocol versions, features, clusters
// and node ids before anything else, and refuse each other with a
// *HandshakeError on both sides when they do not fit. That prevents accidents.
// Without TLS it is no protection: whoever reaches the port can claim to be any
// node. So use Options.TLSFiles or Options.TLS, or a network that only the
// cluster's nodes can reach.
//
// With TLS, both sides verify that an authority of the cluster vouches for the
// other's certificate, and that it is the certificate of the very node: the
// dialer that it belongs to the node that it has dialed, the listener that it
// belongs to the node that the dialer claims to be. As a rule that node's name,
// such as raft:orders/3, is among the certificate's URIs, see NodeURI; with
// another kind of certificates Options.VerifyPeer decides. Names of hosts play
// no part. A node with a certificate can lie, but not about who it is.
//
// A certificate matters when a connection is made. One that has expired, or
// whose authority is trusted no more, does not end a connection that exists;
// crypto/tls knows nothing of certificates that were revoked, but VerifyPeer
// may.
//
// # Goroutines and memory
//
// A transport has one goroutine that accepts, one that reports unreachable
// peers, one that looks at TLSFiles if there are any, two for each connection
// that it dials (a sender, and one that listens for signs of life), and one for
// each incoming connection: so six for each peer. A snapshot that is received
// has one more, in which the Handler is called, and SendSnapshot starts two.
// Send only encodes, into a buffer of the peer; the peer's senders write whatever
// has gathered with one write while the next batch gathers.
//
// For each peer at most Options.QueueBytes wait to be sent, and 4 MiB of urgent
// messages. A connection that has not introduced itself yet holds less than a
// kilobyte of the transport's, for Options.ConnectTimeout at most; and what
// crypto/tls needs for a handshake, for which at most 64 KiB are read. There are
// at most Options.MaxHandshakes of them, of which no address can keep all.
//
// Later a connection's buffer grows with the bytes that arrive, never with the
// length that a frame claims. A message's entries, beside their data, take at
// most 16 times as much memory as the message has bytes; what is handed over
// together takes little more than a megabyte unless it is one message; and an
// entry that is handed over keeps at most 64 KiB in memory beside itself.
package tcp
