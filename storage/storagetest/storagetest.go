// Package storagetest checks that a raft.Storage keeps its contract, the doc
// comments of raft.Storage and raft.SnapshotWriter, crashes included:
//
//	func TestStorage(t *testing.T) {
//		storagetest.Run(t, storagetest.Options{New: func(t testing.TB) *storagetest.Device {
//			dir := t.TempDir()
//			var open *mystorage.Storage
//			return &storagetest.Device{
//				Open: func() (raft.Storage, error) {
//					var err error
//					open, err = mystorage.Open(dir)
//					return open, err
//				},
//				Close: func() error { return open.Close() },
//			}
//		}})
//	}
//
// Run checks each part of the contract by a subtest of its own, on a Device of
// its own, and then all parts together by random runs against a model. During
// all of them it also asserts what holds for each call of Save: done is called
// once, in order, and not from within Save, and after a failure nothing
// succeeds. It is meant to be run with -race.
//
// What only a device that plays along can show, a crash above all, is checked
// if the Device has the function for it; the other subtests say what they lack
// and are skipped. A storage whose Crash is nil has not been shown to survive
// one.
//
// The checks do not go beyond what a replica does: entries are replaced only
// above the commit index, terms and commit indexes do not fall, and a snapshot
// is one of committed entries, or a received one that is ahead of them.
package storagetest

import (
	"testing"
	"time"

	"github.com/seed-6281cb22/raft"
)

// Device is where one storage keeps its data, a directory for instance. It is
// empty at first. Open and Close must be there; each of the other functions may
// be nil, and the checks that need it are left out then. The functions are
// called by one goroutine at a time.
type Device struct {
	// Open opens the storage on what the device holds. It is called again
	// after Close or Crash, and never while the storage is open.
	Open func() (raft.Storage, error)

	// Close closes the storage after all that was saved is durable, and has
	// been reported by done.
	Close func() error

	// Crash is a loss of power and the end of the process, now: the storage
	// is not closed, and of what was not reported as durable any first part
	// may be there afterwards. From its return on no done of the crashed
	// storage is called.
	Crash func()

	// CrashAfter cuts off the power so many operations on the device from
	// now on, one or more, in whatever unit the device counts. Calls fail
	// from then on, until Crash says that they have ended. It is called
	// only if Crash is not nil.
	CrashAfter func(operations int)

	// Stall makes writes to the device hang until resume is called.
	Stall func() (resume func())

	// FailWrites makes writes to the device fail, as on a full disk, until
	// the storage is closed.
	FailWrites func()

	// Damage flips a bit of each copy of a string of bytes on the device,
	// and returns how many it has found. The storage is closed then.
	Damage func(data []byte) (copies int)
}

// Options say what is tested, and how long. Only New is required.
type Options struct {
	// New makes an empty device, for one check. What it needs cleaned up is
	// registered with t.Cleanup.
	New func(t testing.TB) *Device

	// Seeds is the number of random runs. Zero means 20.
	Seeds int

	// FirstSeed is that of the first random run; the others follow it. A
	// failure says which one it was.
	FirstSeed uint64

	// Patience is how long the suite waits for what must happen before it
	// says that it did not. Zero means 10 s.
	Patience time.Duration
}

func (o Options) withDefaults() Options {
	if o.Seeds == 0 {
		o.Seeds = 20
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	return o
}

// Check checks a part of the contract.
type Check struct {
	// Name names the part.
	Name string
	// Run does it. A violation is reported as a failure of t. It ends with
	// t.Skip if the device lacks a function that it needs.
	Run func(t testing.TB, o Options)
}

// Checks returns what Run runs, in this order: for a harness that is no
// testing.T, or to run one by itself.
func Checks() []Check {
	var all []Check
	for _, c := range checks {
		all = append(all, Check{Name: c.name, Run: func(t testing.TB, o Options) {
			t.Helper()
			begin(t, o).run(c)
		}})
	}
	return all
}

// Run checks a storage. Each part of the contract is a subtest.
func Run(t *testing.T, o Options) {
	t.Helper()
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, o) })
	}
}

// check is a part of the contract, and what it needs of the device.
type check struct {
	name  string
	needs func(*Device) (lacks string) // nil: nothing
	run   func(*suite)
}

var checks = []check{
	{name: "Empty", run: checkEmpty},
	{name: "Load", run: checkLoad},
	{name: "Done", run: checkDone},
	{name: "Ownership", run: checkOwnership},
	{name: "Suffix", run: checkSuffix},
	{name: "SuffixInFlight", run: checkSuffixInFlight},
	{name: "Terms", run: checkTerms},
	{name: "Memberships", run: checkMemberships},
	{name: "Entries", run: checkEntries},
	{name: "Compact", run: checkCompact},
	{name: "SnapshotCommit", run: checkSnapshotCommit},
	{name: "SnapshotNewest", run: checkSnapshotNewest},
	{name: "SnapshotReader", run: checkSnapshotReader},
	{name: "SnapshotAndLog", run: checkSnapshotAndLog},
	{name: "Install", run: checkInstall},
	{name: "Concurrent", run: checkConcurrent},
	{name: "Stall", needs: needsStall, run: checkStall},
	{name: "Failure", needs: needsFailWrites, run: checkFailure},
	{name: "Damage", needs: needsDamage, run: checkDamage},
	{name: "Crash", needs: needsCrash, run: checkCrash},
	{name: "Random", run: checkRandom},
}

func lacks(missing bool, name string) string {
	if missing {
		return "Device." + name + " is nil"
	}
	return ""
}

func needsStall(d *Device) string      { return lacks(d.Stall == nil, "Stall") }
func needsFailWrites(d *Device) string { return lacks(d.FailWrites == nil, "FailWrites") }
func needsDamage(d *Device) string     { return lacks(d.Damage == nil, "Damage") }
func needsCrash(d *Device) string      { return lacks(d.Crash == nil, "Crash") }
