package wasm

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/plugins/wasm/fuel"
	"github.com/millrace/millrace/sdk"
)

const (
	page    = 64 << 10
	maxFile = 16 << 20
)

// settings are those of one plugin.
type settings struct {
	path     string
	dir      string
	sum      []byte // nil: any
	memory   int64
	fuel     int64         // of a call
	perKiB   int64         // more for each KiB of records
	starting int64         // of the start section, _initialize and configure, together
	deadline time.Duration // of interceptors
	output   int64
	guest    map[string]string

	calm   *undisturbed               // what a test has changed, as it was. Nil: nothing
	answer func(answer []byte) []byte // of a Disturbance
}

// read reads the settings that all kinds have. What is wrong with them, c remembers.
func read(c sdk.Config) settings {
	s := settings{
		guest:    c.Below("config."), // first: config. may stand before any key that nobody has taken
		path:     c.String("path", ""),
		dir:      c.String("dir", ""),
		memory:   c.Int("memory.max", 8<<20),
		fuel:     c.Int("fuel", 16<<20),
		perKiB:   c.Int("fuel.per.kib", 128<<10),
		starting: c.Int("fuel.start", 64<<20),
		output:   c.Int("output.max", 1<<20),
	}
	within(c, "memory.max", s.memory, page, 256<<20)
	within(c, "fuel", s.fuel, 1, 1<<32)
	within(c, "fuel.per.kib", s.perKiB, 0, 1<<26)
	within(c, "fuel.start", s.starting, 1000, 1<<32)
	within(c, "output.max", s.output, 16, 64<<20)
	if text := c.String("sha256", ""); text != "" {
		sum, err := hex.DecodeString(text)
		if err != nil || len(sum) != 32 {
			c.Wrong("sha256", "it is not 64 hexadecimal digits")
		}
		s.sum = sum
	}
	if s.path == "" {
		c.Wrong("path", "name the file of the module")
	}
	return s
}

// within says so when a number is too small or too large.
func within(c sdk.Config, key string, value, least, most int64) {
	if value < least || value > most {
		c.Wrong(key, fmt.Sprintf("%d is not between %d and %d", value, least, most))
	}
}

func (s *settings) pages() uint32 { return uint32(s.memory / page) }

func (s *settings) rewriting() fuel.Options {
	return fuel.Options{MemoryPages: s.pages(), Start: s.starting, Allowed: allowed}
}

// file reads the module. With a dir, it must lie in it.
func (s *settings) file() ([]byte, error) {
	const flags = os.O_RDONLY | syscall.O_NONBLOCK // a pipe is refused below, and waited for by nobody
	open := func() (*os.File, error) { return os.OpenFile(s.path, flags, 0) }
	if s.dir != "" {
		name := s.path
		if filepath.IsAbs(name) {
			var err error
			if name, err = filepath.Rel(s.dir, name); err != nil || name == ".." || strings.HasPrefix(name, ".."+string(filepath.Separator)) {
				return nil, fmt.Errorf("%s does not lie in %s: copy it there, or change plugin.dir", s.path, s.dir)
			}
		}
		open = func() (*os.File, error) {
			root, err := os.OpenRoot(s.dir)
			if err != nil {
				return nil, err
			}
			file, err := root.OpenFile(name, flags, 0)
			return file, errors.Join(err, root.Close())
		}
	}
	file, err := open()
	if err != nil {
		return nil, fmt.Errorf("read the module: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the module: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("read the module: %s is no regular file of at most %d bytes", s.path, maxFile)
	}
	module := make([]byte, info.Size())
	if n, err := file.ReadAt(module, 0); n != len(module) {
		return nil, fmt.Errorf("read the module: %s ends after %d bytes: %w", s.path, n, err)
	}
	return module, nil
}

// unitsPerMilli is how many units a call may cost for each millisecond of its deadline. A processor does one to four
// in a nanosecond (package fuel), so that a call which has used up that many has not taken longer.
const unitsPerMilli = 1_000_000

// budget is the fuel of a call that is shown so many bytes. Whoever produces a record decides how large it is, and
// nothing looks at a clock while a guest runs: what it gets for the size ends where its deadline does.
func (s *settings) budget(shown int) int64 {
	budget := s.fuel + s.perKiB*int64(shown>>10)
	if s.deadline > 0 {
		budget = min(budget, max(s.fuel, s.deadline.Milliseconds()*unitsPerMilli))
	}
	return budget
}
