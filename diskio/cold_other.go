//go:build !linux

package diskio

import (
	"errors"
	"io"
)

// ColdReader is for Linux alone.
type ColdReader struct{ io.ReaderAt }

// OpenCold answers errors.ErrUnsupported.
func OpenCold(FS, string) (*ColdReader, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (*ColdReader) Close() error { return nil }
