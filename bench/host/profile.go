package host

import (
	"errors"
	"os"
	"runtime/pprof"
)

// Profile begins a CPU profile of the process in a new file, for StopProfile to
// end.
func (h *Host) Profile(file string, _ *struct{}) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.profile != nil {
		return errors.New("host: a profile is being written already")
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	h.profile = f
	return nil
}

// StopProfile ends the profile.
func (h *Host) StopProfile(struct{}, *struct{}) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.profile == nil {
		return errors.New("host: no profile is being written")
	}
	pprof.StopCPUProfile()
	err := h.profile.Close()
	h.profile = nil
	return err
}
