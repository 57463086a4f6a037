package commitlog

import (
	"errors"

	"github.com/millrace/millrace/diskio"
)

// What a caller must tell from other errors.
var (
	// ErrSync says that a sync failed. What it should have made durable may be lost, and
	// no later sync would tell: not even one that failed for want of space may be repeated.
	ErrSync = errors.New("sync failed")
	// ErrForeign says that a folder belongs to another topic, of the same name.
	ErrForeign = errors.New("the folder belongs to another topic")
	// ErrCold says that what was asked for has to be read from the disk first.
	ErrCold = diskio.ErrCold
)
