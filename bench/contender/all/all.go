// Package all lists the libraries that are compared.
package all

import (
	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/contender/dragonboat"
	"github.com/seed-6281cb22/raft/bench/contender/etcdraft"
	"github.com/seed-6281cb22/raft/bench/contender/hashicorp"
	"github.com/seed-6281cb22/raft/bench/contender/ours"
)

// Names among Libraries that comparisons refer to.
const (
	Ours      = "raft"
	EtcdRaft  = "etcd-raft"
	Hashicorp = "hashicorp/raft"
	Pebble    = "dragonboat pebble" // by dragonboat's default log engine
	Tan       = "dragonboat tan"
)

// Libraries has the libraries by the names that tables show.
var Libraries = map[string]contender.Start{
	Ours:      ours.Start,
	EtcdRaft:  etcdraft.Start,
	Hashicorp: hashicorp.Start,
	Pebble:    dragonboat.Start,
	Tan:       dragonboat.StartTan,
}
