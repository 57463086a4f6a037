package diskio

import (
	"errors"
	"unsafe"
)

// durable is a File of which one call can write and make durable, past the page cache.
type durable interface {
	beDurable() bool
	writeDurable(p []byte, offset int64) error
}

// errIndirect says that a file cannot be written to past the page cache after all.
var errIndirect = errors.New("the file cannot be written to directly")

// aligned makes a buffer of so many bytes at a multiple of journalPage, as what goes past
// the page cache must be.
func aligned(size int) []byte {
	p := make([]byte, size+journalPage)
	skip := -uintptr(unsafe.Pointer(&p[0])) & (journalPage - 1)
	return p[skip : skip+uintptr(size) : skip+uintptr(size)]
}
