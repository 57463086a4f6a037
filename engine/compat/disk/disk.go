// Package disk makes disks for a broker that is to suffer: an ext4 file system on a loop device whose image is a sparse
// file. Its power can be cut, after which what was not synced is gone and every write and sync fails with EIO.
//
//	Make ──▶ mounted ──Cut──▶ EIO ──Mend──▶ mounted, as after the power came back
//
// The cut is ext4's own shutdown without a flush of its journal: what the file system had handed to the device stays,
// synced or not, and everything that lay in the page cache or in the running journal transaction is lost. What a real
// device loses beyond that from its volatile cache is not lost here.
//
// An fdatasync that is under way while the power is cut may report success and be lost all the same (Linux 6.18: 42 of
// 517 that ended after the cut had begun): jbd2 takes a transaction that it has aborted for one that was committed before.
// Whoever wants to know what was promised kills its process before the cut, or believes nothing that came after it.
//
// Linux and root are needed. A program that mounts should call Isolate first.
package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

// A Disk is one image and where it is mounted.
type Disk struct {
	Path  string // of the mounted file system
	image string
}

// Needs says what is missing to make disks here, nil when nothing is.
func Needs() error {
	if os.Geteuid() != 0 {
		return errors.New("a disk whose power can be cut needs root, to mount")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("a disk whose power can be cut needs loop devices: %w", err)
	}
	for _, program := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("a disk whose power can be cut needs e2fsprogs and mount: %w", err)
		}
	}
	return nil
}

// Make makes and mounts a disk of the given size in dir, which must exist.
func Make(dir, name string, mebibytes int64) (*Disk, error) {
	if err := Needs(); err != nil {
		return nil, err
	}
	d := &Disk{Path: filepath.Join(dir, name), image: filepath.Join(dir, name+".ext4")}
	if err := os.Mkdir(d.Path, 0o755); err != nil {
		return nil, fmt.Errorf("make disk: %w", err)
	}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, fmt.Errorf("make disk: %w", err)
	}
	if err := errors.Join(f.Truncate(mebibytes<<20), f.Close(), run("mkfs.ext4", "-q", "-F", d.image)); err != nil {
		return nil, fmt.Errorf("make disk: %w", err)
	}
	return d, d.mount()
}

func (d *Disk) mount() error { return run("mount", "-o", "loop", d.image, d.Path) }

// Cut takes the power away: what was not synced is lost, and what follows fails with EIO.
func (d *Disk) Cut() error {
	const (
		shutdown   = 0x8004587D // EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32)
		noLogFlush = 2
	)
	f, err := os.Open(d.Path)
	if err != nil {
		return fmt.Errorf("cut power: %w", err)
	}
	defer f.Close()
	how := uint32(noLogFlush)
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&how))); e != 0 {
		return fmt.Errorf("cut power of %s: %w", d.Path, e)
	}
	return nil
}

// Mend mounts the disk again, with what is left on it. Nothing may have a file on it open.
func (d *Disk) Mend() error {
	if err := run("umount", d.Path); err != nil {
		return err
	}
	return d.mount()
}

// Drop unmounts the disk and removes its image.
func (d *Disk) Drop() error {
	if run("umount", d.Path) != nil { // something still has a file open
		if err := run("umount", "-l", d.Path); err != nil {
			return err
		}
	}
	return errors.Join(os.Remove(d.image), os.Remove(d.Path))
}

// Probe fails unless a cut loses what was not synced and keeps what was: else whatever survives here proves nothing.
func Probe(dir string) (err error) {
	d, err := Make(dir, "probe", 64)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Drop()) }()
	const half = 100_000
	name := filepath.Join(d.Path, "a")
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("probe disk: %w", err)
	}
	folder, err := os.Open(d.Path)
	if err != nil {
		return fmt.Errorf("probe disk: %w", err)
	}
	_, err = f.Write(make([]byte, half))
	err = errors.Join(err, f.Sync(), folder.Sync(), folder.Close())
	if err == nil {
		_, err = f.Write(make([]byte, half))
	}
	if err = errors.Join(err, os.WriteFile(name+".unsynced", make([]byte, half), 0o644), d.Cut()); err != nil {
		return fmt.Errorf("probe disk: %w", err)
	}
	if f.Sync() == nil {
		return errors.New("probe disk: a sync succeeded while the power was cut")
	}
	if err := errors.Join(f.Close(), d.Mend()); err != nil {
		return fmt.Errorf("probe disk: %w", err)
	}
	left, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("probe disk: a synced file is gone: %w", err)
	}
	if _, err := os.Stat(name + ".unsynced"); err == nil || left.Size() != half {
		return fmt.Errorf("probe disk: of %d synced bytes %d are left, and the file that was not synced: %v", half, left.Size(), err)
	}
	return nil
}

func run(name string, arguments ...string) error {
	if output, err := exec.Command(name, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}
