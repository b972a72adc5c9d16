// Package inmem is a network in memory, for tests: transports for any number
// of nodes, and between them delay, loss, duplication, reordering, damage and
// partitions, all drawn from one seed and all adjustable while it runs.
//
// There are two ways to drive it. A Network made by NewNetwork drives itself,
// in real time, or in the virtual time of testing/synctest. One made by
// NewManual is driven by its owner in virtual time, without any goroutine:
//
//	network := inmem.NewManual(inmem.Options{Seed: 1, Faults: inmem.Faults{MaxDelay: 10 * time.Millisecond}})
//	a := network.Transport(1)
//	…
//	for at, ok := network.Next(); ok; at, ok = network.Next() {
//		network.Advance(at)
//	}
//
// Both drive the same scheduler, which is a pure function of the seed and of
// the calls made: the same seed and the same calls give the same deliveries.
//
// What travels are the bytes that transport/tcp sends, encoded, framed and
// checked by the same code. So no memory is shared between two nodes, and a
// damaged message is noticed as it would be there.
//
// # What it does not have
//
// There are no connections and no handshake: nodes of different clusters do
// not reach each other, and are not told why. Nothing bounds the messages in
// flight. An address is only a sign that a node is known; what it says is not
// used.
package inmem
