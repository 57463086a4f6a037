package diskio

import (
	"errors"
	"os"
	"path/filepath"
)

// OS is the file system of the operating system.
var OS FS = osFS{}

type osFS struct{}

func (osFS) Rename(old, new string) error   { return os.Rename(old, new) }
func (osFS) Remove(name string) error       { return os.Remove(name) }
func (osFS) RemoveAll(name string) error    { return os.RemoveAll(name) }
func (fs osFS) MkdirAll(name string) error  { return fs.mkdir(filepath.Clean(name)) }
func (osFS) Stat(name string) (Info, error) { return stat(name) }

// mkdir makes the folders that are missing from the top down, each durable before the
// next, so that a crash leaves no folder that a later call would take for durable.
func (fs osFS) mkdir(name string) error {
	if found, err := os.Stat(name); err == nil {
		if !found.IsDir() {
			return &os.PathError{Op: "mkdir", Path: name, Err: errNotDir}
		}
		return nil
	}
	above := filepath.Dir(name)
	if above != name {
		if err := fs.mkdir(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(name, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return fs.SyncDir(above)
}

func stat(name string) (Info, error) {
	found, err := os.Stat(name)
	if err != nil {
		return Info{}, err
	}
	return Info{Size: found.Size(), ModTime: found.ModTime(), Dir: found.IsDir()}, nil
}

func (osFS) ReadDir(name string) ([]string, error) {
	found, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(found))
	for i, entry := range found {
		names[i] = entry.Name()
	}
	return names, nil
}

func (osFS) SyncDir(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
