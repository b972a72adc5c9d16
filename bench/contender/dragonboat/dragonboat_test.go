package dragonboat_test

import (
	"testing"

	"github.com/seed-6281cb22/raft/bench/contender/contendertest"
	"github.com/seed-6281cb22/raft/bench/contender/dragonboat"
)

func TestPebble(t *testing.T) { contendertest.Run(t, dragonboat.Start) }

func TestTan(t *testing.T) { contendertest.Run(t, dragonboat.StartTan) }
