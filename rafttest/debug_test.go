package rafttest

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/internal/tape"
)

func TestDebug(t *testing.T) {
	s := registerSimulation()
	from, _ := strconv.Atoi(os.Getenv("FROM"))
	to, _ := strconv.Atoi(os.Getenv("TO"))
	for seed := from; seed < to; seed++ {
		v := withoutTranscript
		if os.Getenv("V") != "" {
			v = withTranscript
		}
		b := time.Now()
		o := s.run(tape.FromSeed(uint64(seed)), v)
		if o.failure != nil || os.Getenv("Q") == "" {
			t.Log(seed, o.events, o.virtual, time.Since(b), o.failure)
		}
		if os.Getenv("V") != "" {
			t.Log(o.setup)
			t.Log(o.transcript)
			t.Logf("%+v %+v", o.calls, o.faults)
		}
	}
}
