package commitlog

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// newSlots gets memory for so many slots from the system itself: the garbage collector, which
// lets a heap become twice what is in use, does not count it, and it is gone at once when it
// is given back. Every use of it is somewhere else, so that with pages of 4 KiB most of a
// lookup would be finding the page: huge ones are asked for.
func newSlots(count int64) []slot {
	p, err := unix.Mmap(-1, 0, int(count)*mapSlotBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return make([]slot, count)
	}
	unix.Madvise(p, unix.MADV_HUGEPAGE) //nolint:errcheck // it is advice
	return unsafe.Slice((*slot)(unsafe.Pointer(&p[0])), count)
}

// freeSlots gives back what newSlots got.
func freeSlots(slots []slot) {
	unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(&slots[0])), len(slots)*mapSlotBytes)) //nolint:errcheck // what came from the heap is not known there, and stays
}
