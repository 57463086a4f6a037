package disk

import (
	"fmt"
	"os"
	"syscall"
)

// Freeze has every write to the disk and every sync of it hang until Thaw. A frozen disk cannot be dropped, nor can a
// process that hangs on it be killed.
func (d *Disk) Freeze() error { return d.control("freeze", 0xC0045877) } // FIFREEZE, _IOWR('X', 119, int)

// Thaw lets it go on.
func (d *Disk) Thaw() error { return d.control("thaw", 0xC0045878) } // FITHAW, _IOWR('X', 120, int)

func (d *Disk) control(what string, request uintptr) error {
	f, err := os.Open(d.Path)
	if err != nil {
		return fmt.Errorf("%s disk: %w", what, err)
	}
	defer f.Close()
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, 0); e != 0 {
		return fmt.Errorf("%s disk %s: %w", what, d.Path, e)
	}
	return nil
}
