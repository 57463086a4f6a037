// Package files opens what settings of plugins name. Whoever may change settings must not have
// the broker read or write whatever its account may, nor wait for ever, nor take all memory:
//
//	in a folder   a name leads to nowhere outside of the folder of plugins (plugin.dir), not
//	              by .. and not by a symbolic link
//	regular       a device, a pipe or a socket is refused, and opening it waits for nobody
//	bounded       no more is read than the caller allows
//
// Who runs a plugin without a broker has no such folder: with dir "" files may lie anywhere.
package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Read is what is in a file of at most so many bytes.
func Read(dir, name string, most int64) ([]byte, error) {
	file, err := open(dir, name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s is larger than the %d bytes that are read of such a file", name, most)
	}
	return data, nil
}

// Append opens a file, made if it is not there, to write behind what it has.
//
// Ownership: the caller closes it.
func Append(dir, name string) (*os.File, error) {
	return open(dir, name, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
}

// open opens a regular file.
func open(dir, name string, flag int) (*os.File, error) {
	flag |= syscall.O_NONBLOCK // a pipe that nobody has open at its other end
	file, err := place(dir, name, flag)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), file.Close())
	}
	return file, nil
}

// place opens a name in the folder, absolute or not.
func place(dir, name string, flag int) (*os.File, error) {
	if dir == "" {
		return os.OpenFile(name, flag, 0o600)
	}
	within := name
	if filepath.IsAbs(name) {
		var err error
		if within, err = filepath.Rel(dir, name); err != nil || within == ".." || strings.HasPrefix(within, ".."+string(filepath.Separator)) {
			return nil, fmt.Errorf("%s does not lie in %s, the folder of plugins: put it there, or change plugin.dir", name, dir)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("look for %s in the folder of plugins (plugin.dir): %w", name, err)
	}
	file, err := root.OpenFile(within, flag, 0o600)
	if err != nil {
		err = fmt.Errorf("look for %s in %s, the folder of plugins (plugin.dir): %w", name, dir, err)
	}
	return file, errors.Join(err, root.Close())
}
