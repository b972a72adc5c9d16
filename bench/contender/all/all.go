// Package all lists the libraries that are compared.
package all

import (
	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/contender/ours"
)

// Names among Libraries that comparisons refer to.
const (
	Ours      = "raft"
	EtcdRaft  = "etcd-raft"
	Hashicorp = "hashicorp/raft"
)

// Libraries has the libraries by the names that tables show.
var Libraries = map[string]contender.Start{
	Ours: ours.Start,
}
