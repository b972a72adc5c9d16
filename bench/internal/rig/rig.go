// Package rig gives each node of a cluster a host of its own on this machine: a
// network namespace whose cable can be unplugged, and a file system whose disk
// can be made to hang. It is for Linux, and needs root, the commands ip,
// mkfs.ext4 and mount, and loop devices; where one of these is missing, nodes
// share the loopback interface or the disk, and the fault in question is an
// error that says why.
package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/seed-6281cb22/raft/internal/netns"
)

// Parts say what a Rig has beyond processes.
type Parts struct {
	Network bool // a network namespace for each host
	Disks   bool // a file system for each host
}

// Rig is hosts, numbered from 1, for the clusters that are started on it one
// after another. It is for one goroutine.
type Rig struct {
	root  string
	hosts int

	network   *netns.Network // nil: loopback
	noNetwork error
	disks     []disk // nil: directories of root
	noDisks   error

	stopAbort func() bool
	mu        sync.Mutex // abort is called from another goroutine
	cluster   *Cluster
}

// New makes a rig in a new directory below dir. When ctx ends, its processes are
// killed, and what is frozen is thawed, so that whoever waits for one of them
// gets an error. Close takes it away.
func New(ctx context.Context, dir string, hosts int, parts Parts) (*Rig, error) {
	root, err := os.MkdirTemp(dir, "bench-rig-")
	if err != nil {
		return nil, err
	}
	if root, err = filepath.Abs(root); err != nil {
		return nil, err
	}
	r := &Rig{root: root, hosts: hosts, noNetwork: errNotAsked, noDisks: errNotAsked}
	if parts.Network {
		r.noNetwork = attempt(func(t *refusals) (err error) {
			r.network, err = netns.Make(t, hosts)
			return err
		})
	}
	if parts.Disks {
		r.disks, r.noDisks = makeDisks(root, hosts)
	}
	for host := range hosts {
		if err := os.MkdirAll(r.dir(host+1), 0o777); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	r.stopAbort = context.AfterFunc(ctx, r.abort)
	return r, nil
}

var errNotAsked = errors.New("rig: made without it")

// CanCut returns nil if Cut can be used, else why not.
func (r *Rig) CanCut() error { return r.noNetwork }

// CanHang returns nil if Hang can be used, else why not.
func (r *Rig) CanHang() error { return r.noDisks }

// Cut unplugs a host's cable.
func (r *Rig) Cut(host int) error {
	if r.noNetwork != nil {
		return r.noNetwork
	}
	return attempt(func(*refusals) error { r.network.Unplug(host); return nil })
}

// Uncut plugs it in again.
func (r *Rig) Uncut(host int) error {
	return attempt(func(*refusals) error { r.network.Plug(host); return nil })
}

// Hang makes all writes and syncs to a host's disk wait.
func (r *Rig) Hang(host int) error {
	if r.noDisks != nil {
		return r.noDisks
	}
	return r.disks[host-1].freeze()
}

// Unhang lets them go on.
func (r *Rig) Unhang(host int) error { return r.disks[host-1].thaw() }

// abort makes all calls to processes return.
func (r *Rig) abort() {
	r.thaw()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cluster != nil {
		r.cluster.signalAll()
	}
}

// heal undoes Cut and Hang on all hosts.
func (r *Rig) heal() error {
	r.thaw()
	if r.network == nil {
		return nil
	}
	return attempt(func(*refusals) error { r.network.Heal(); return nil })
}

func (r *Rig) thaw() {
	for _, d := range r.disks {
		d.thaw() //nolint:errcheck // it is not frozen as a rule
	}
}

// Close kills all processes and takes everything away.
func (r *Rig) Close() error {
	if r.stopAbort != nil {
		r.stopAbort()
	}
	r.thaw()
	if r.cluster != nil {
		r.cluster.Stop()
	}
	var errs []error
	for _, d := range r.disks {
		errs = append(errs, d.unmount())
	}
	if r.network != nil {
		r.network.Remove()
	}
	if err := errors.Join(errs...); err != nil {
		return err // nothing is removed through what is still mounted
	}
	return os.RemoveAll(r.root)
}

func (r *Rig) dir(host int) string {
	if r.disks != nil {
		return filepath.Join(r.disks[host-1].mountPoint, "node")
	}
	return filepath.Join(r.root, fmt.Sprint("node", host))
}

// addresses returns where the nodes of a cluster are to listen.
func (r *Rig) addresses() ([]string, error) {
	var addrs []string
	for host := range r.hosts {
		if r.network != nil {
			addrs = append(addrs, r.network.Address(host+1)+":7000")
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // when all ports are taken
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// prefix returns what a command on a host begins with.
func (r *Rig) prefix(host int) []string {
	if r.network == nil {
		return nil
	}
	return r.network.Prefix(host)
}

// refusals is what a netns.Network takes for a test.
type refusals struct{ err error }

func (r *refusals) Errorf(format string, args ...any) { r.err = fmt.Errorf(format, args...) }
func (r *refusals) FailNow()                          { panic(r) }

// attempt returns what the system refuses as an error.
func attempt(f func(*refusals) error) (err error) {
	defer func() {
		switch failed := recover().(type) {
		case nil:
		case *refusals:
			err = failed.err
		default:
			panic(failed)
		}
	}()
	return f(&refusals{})
}
