package memory_test

import (
	"testing"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/storage/storagetest"
)

// The storage keeps its contract, as far as memory can.
func TestConformance(t *testing.T) {
	storagetest.Run(t, storagetest.Options{New: func(testing.TB) *storagetest.Device {
		s := memory.New()
		return &storagetest.Device{
			Open:  func() (raft.Storage, error) { return s, nil },
			Close: func() error { _, err := s.Load(); return err }, // waits for all writes
		}
	}})
}
