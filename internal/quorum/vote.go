package quorum

// Vote is what one voter has answered, or what an election has come to.
type Vote uint8

// The votes. A voter who has not answered has an Open one.
const (
	Open     Vote = iota // not known yet
	Granted              // by the voter; of an election: won
	Rejected             // by the voter; of an election: it cannot be won any more
)

// Ballot counts the votes of one configuration. The zero Ballot is one of no
// voters.
type Ballot struct{ voters, granted, rejected int }

// Add adds one voter's vote.
func (b *Ballot) Add(v Vote) {
	b.voters++
	switch v {
	case Granted:
		b.granted++
	case Rejected:
		b.rejected++
	}
}

// Empty reports whether there are no voters.
func (b *Ballot) Empty() bool { return b.voters == 0 }

// Result returns Granted when a majority of the voters has granted its vote,
// and Rejected when none can any more.
func (b *Ballot) Result() Vote {
	majority := Size(b.voters)
	switch {
	case b.granted >= majority:
		return Granted
	case b.voters-b.rejected < majority:
		return Rejected
	}
	return Open
}

// Both returns what the votes of two configurations come to: agreement requires
// separate majorities of both (§6).
func Both(a, b Vote) Vote {
	switch {
	case a == Rejected || b == Rejected:
		return Rejected
	case a == Granted && b == Granted:
		return Granted
	}
	return Open
}
