package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// disk is an ext4 file system in a file, mounted by a loop device.
type disk struct{ mountPoint string }

// diskBytes is how large each may become. The file is sparse.
const diskBytes = 4 << 30

// makeDisks returns n mounted disks, or what is in the way.
func makeDisks(root string, n int) (disks []disk, err error) {
	defer func() {
		if err != nil {
			for _, d := range disks {
				err = errors.Join(err, d.unmount())
			}
			disks, err = nil, fmt.Errorf("no disk for each host here: that needs root, mkfs.ext4 and loop devices: %w", err)
		}
	}()
	for i := range n {
		image := filepath.Join(root, fmt.Sprintf("disk%d.ext4", i+1))
		mountPoint := filepath.Join(root, fmt.Sprintf("disk%d", i+1))
		if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, diskBytes), os.Mkdir(mountPoint, 0o700)); err != nil {
			return disks, err
		}
		// Few inodes, all written now: nothing is left to do in the background.
		if err := command("mkfs.ext4", "-q", "-F", "-N", "16384", "-E", "lazy_itable_init=0,lazy_journal_init=0", image); err != nil {
			return disks, err
		}
		if err := command("mount", "-o", "loop", image, mountPoint); err != nil {
			return disks, err
		}
		disks = append(disks, disk{mountPoint})
	}
	return disks, nil
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// The requests of ioctl(2) that fsfreeze(8) makes: _IOWR('X', 119, int) and 120.
const (
	fiFreeze = 0xc0045877
	fiThaw   = 0xc0045878
)

func (d disk) freeze() error { return d.ioctl(fiFreeze) }
func (d disk) thaw() error   { return d.ioctl(fiThaw) }

func (d disk) ioctl(request uintptr) error {
	f, err := os.Open(d.mountPoint)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, 0); errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}

// unmount is for when no process uses it any more.
func (d disk) unmount() error { return command("umount", d.mountPoint) }
