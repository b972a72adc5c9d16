package ours_test

import (
	"testing"

	"github.com/seed-6281cb22/raft/bench/contender/contendertest"
	"github.com/seed-6281cb22/raft/bench/contender/ours"
)

func TestContender(t *testing.T) { contendertest.Run(t, ours.Start) }
