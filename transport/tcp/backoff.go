package tcp

import (
	"math/rand/v2"
	"time"
)

// backoff spaces attempts: each pause is drawn from the upper half of a range
// that doubles with each failure, so that nodes that lost each other at the
// same moment do not return at the same moment.
type backoff struct {
	max  time.Duration
	next time.Duration
}

func (b *backoff) reset() { b.next = 0 }

func (b *backoff) pause() time.Duration {
	b.next = min(max(2*b.next, minBackoff), b.max)
	return b.next/2 + rand.N(b.next/2+1)
}
